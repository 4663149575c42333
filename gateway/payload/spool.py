"""Spool: everything that waits for one sink, in all lanes, and its bound."""

from __future__ import annotations

from pathlib import Path

from .lane import lanes
from .tail import Tail


class Spool:
    """The reading side of ``directory``; ``bound`` in bytes on disk."""

    def __init__(self, directory: Path, bound: int) -> None:
        self.directory = directory
        self.bound = bound
        self._tails: dict[Path, Tail] = {}

    def tails(self) -> list[Tail]:
        """One for each lane that there is by now."""
        for lane in lanes(self.directory):
            if lane not in self._tails:
                self._tails[lane] = Tail(lane)
        return list(self._tails.values())

    def waiting(self) -> int:
        """Bytes that are still to be read."""
        return sum(tail.sizes()[1] for tail in self._tails.values())

    def shrink(self) -> int:
        """Keep the bound: the oldest finished segments go first. How many records were lost."""
        excess = sum(tail.sizes()[0] for tail in self._tails.values()) - self.bound
        lost = 0
        while excess > 0:
            aged = [(age, tail) for tail in self._tails.values() if (age := tail.oldest()) is not None]
            if not aged:
                break
            tail = min(aged, key=lambda pair: pair[0])[1]
            before = tail.sizes()[0]
            lost += tail.drop_oldest()
            excess -= before - tail.sizes()[0]
        return lost

    def missing(self) -> int:
        """Records found to be gone since this was last asked."""
        found = sum(tail.missing for tail in self._tails.values())
        for tail in self._tails.values():
            tail.missing = 0
        return found

    def save(self) -> None:
        """Remember how far it has been read."""
        for tail in self._tails.values():
            tail.save()
