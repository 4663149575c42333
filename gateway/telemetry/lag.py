"""Lag: how late the event loop is. What holds it up holds up every request of the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

from .metrics import Registry

INTERVAL: Final = 0.5
"""Seconds between two looks."""

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Lag:
    """Sets a timer, sees how late it rings, and sets it again, for as long as the loop runs."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lag = registry.histogram("gateway_event_loop_lag_seconds", BOUNDS)
        self._loop = asyncio.get_running_loop()
        self._begin()

    def _begin(self) -> None:
        self._due = self._clock() + INTERVAL
        self._loop.call_later(INTERVAL, self._ring)

    def _ring(self) -> None:
        # The loop's own clock counts whole milliseconds, so that a timer may even ring early.
        self._lag.observe(max(self._clock() - self._due, 0.0))
        self._begin()
