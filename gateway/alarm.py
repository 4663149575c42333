"""Alarm: one timer for many deadlines. It rings for the earliest of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

TICK: Final = 0.01
"""Seconds, at least, between two looks for who is late."""


class Alarm:
    """Calls ``ring`` with the loop's time, at the earliest of the times that it was set to since it last rang."""

    def __init__(self, ring: Callable[[float], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        """Ring at the loop time ``when`` at the latest; infinity stands for never."""
        if when == inf or (self._timer is not None and self._timer.when() <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._over)

    def _over(self) -> None:
        self._timer = None
        self._ring(self._loop.time())
