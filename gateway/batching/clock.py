"""A clock for batching, where tenths of a millisecond matter: uvloop's own counts whole milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter


def fine_clock() -> Callable[[], float]:
    """The running loop's time, to the microsecond."""
    offset = asyncio.get_running_loop().time() - perf_counter()
    return lambda: perf_counter() + offset
