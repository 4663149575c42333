"""Gathered: what comes one at a time leaves together, a moment later."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Gathered(Generic[T]):
    """Hands on what it was given ``delay`` seconds after the first of it, or as soon as there are ``batch``."""

    def __init__(self, delay: float, batch: int) -> None:
        self._delay = delay
        self._batch = batch
        self._items: list[T] = []
        self._timer: asyncio.TimerHandle | None = None
        self._later = asyncio.get_running_loop().call_later

    def take(self, item: T) -> None:
        items = self._items
        items.append(item)
        count = len(items)
        if count == 1 or count == self._batch:
            # Never at once: whatever made the last one goes on first.
            self._due(0.0 if count == self._batch else self._delay)

    def hand_on(self) -> None:
        """Let go of what is there now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        items, self._items = self._items, []
        if items:
            self._leave(items)

    def _due(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._later(delay, self.hand_on)

    def _leave(self, items: list[T]) -> None:
        raise NotImplementedError
