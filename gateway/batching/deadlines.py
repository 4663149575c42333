"""Deadlines of all requests that wait for a batch or are part of one."""

from __future__ import annotations

from collections.abc import Callable

from gateway.alarm import TICK, Alarm

from .lane import Entry


class Deadlines:
    """Calls ``expire`` with each entry whose deadline has passed, and the time; whoever is told discards it."""

    def __init__(self, expire: Callable[[Entry, float], None]) -> None:
        self._expire = expire
        self._entries: dict[Entry, None] = {}
        self._alarm = Alarm(self._ring)

    def add(self, entry: Entry) -> None:
        self._entries[entry] = None
        self._alarm.set(entry.deadline)

    def discard(self, entry: Entry) -> None:
        """It has its answer, or nobody wants one."""
        del self._entries[entry]

    def _ring(self, now: float) -> None:
        for entry in [entry for entry in self._entries if entry.deadline <= now]:
            self._expire(entry, now)
        if self._entries:
            self._alarm.set(max(min(entry.deadline for entry in self._entries), now + TICK))
