"""Deadlines: one timer for all requests that wait for a batch or are part of one; it rings for the earliest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from .lane import Entry

TICK = 0.01
"""Seconds, at least, between two looks for who is late."""


class Deadlines:
    """Calls ``expire`` with each entry whose deadline has passed, and the time; whoever is told discards it."""

    def __init__(self, expire: Callable[[Entry, float], None]) -> None:
        self._expire = expire
        self._entries: dict[Entry, None] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, entry: Entry) -> None:
        self._entries[entry] = None
        self._arm(entry.deadline)

    def discard(self, entry: Entry) -> None:
        """It has its answer, or nobody wants one."""
        del self._entries[entry]

    def _arm(self, when: float) -> None:
        if when == inf or (self._timer is not None and self._timer.when() <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        for entry in [entry for entry in self._entries if entry.deadline <= now]:
            self._expire(entry, now)
        if self._entries:
            self._arm(max(min(entry.deadline for entry in self._entries), now + TICK))
