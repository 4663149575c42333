"""The series of several segments, added up.

Records stay where they are once they are there, so each is looked up and decoded only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import add

from .metrics import Series, decode
from .segment import Segment


class Total:
    """One series, and its cells in each of the segments that have it."""

    __slots__ = ("places", "series")

    def __init__(self, series: Series) -> None:
        self.series = series
        self.places: list[memoryview[float]] = []

    def sum(self) -> Sequence[float]:
        """What its cells come to."""
        first, *others = self.places
        cells: Sequence[float] = first.tolist()
        for other in others:
            cells = list(map(add, cells, other.tolist()))
        return cells


class Totals:
    """All series of ``segments``; to be asked by one thread at a time."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._seen = dict.fromkeys(segments, 0)
        self._found: dict[bytes, Total] = {}

    def look(self) -> Iterable[Total]:
        """Those that are there by now."""
        for segment, seen in self._seen.items():
            used = self._seen[segment] = segment.used
            for key, cells in segment.records(seen, used):
                total = self._found.get(key)
                if total is None:
                    total = self._found[key] = Total(decode(key))
                total.places.append(cells)
        return self._found.values()
