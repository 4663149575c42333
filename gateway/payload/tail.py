"""Tail: reads a lane while its writer writes. Each record is given until it is done with, and never skipped unseen.

A segment is finished when there is a later one: the writer never goes back. All of it is synchronous: it reads what the
system has in memory anyway.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from msgspec import Raw

from .frames import frames, unpack
from .lane import Position, position, remember, segment, segments


class Record(NamedTuple):
    """A record, where it was, and where the next one is."""

    data: Raw
    place: Position
    after: Position


class Tail:
    """The reader of one lane."""

    def __init__(self, lane: Path) -> None:
        self.lane = lane
        self.missing = 0
        """Records that are gone, though nobody dropped them; whoever counts them sets it back."""
        self._place = self._saved = position(lane)

    def read(self, most: int, size: int) -> list[Record]:
        """The next records: ``most`` of them or, where there is more than one, ``size`` bytes at most."""
        while True:
            # Looked up first: what has a successor now is complete when it is read afterwards.
            known = segments(self.lane)
            if not self._find(known):
                return []
            if records := self._records(most, size):
                return records
            later = [first for first in known if first > self._place.segment]
            if not later:
                return []
            self._enter(later[0])

    def done(self, record: Record) -> bool:
        """Go on behind ``record``; False where it was dropped meanwhile."""
        if not self.holds(record):
            return False
        self._place = record.after
        return True

    def holds(self, record: Record) -> bool:
        """Whether ``record`` is the next one."""
        return record.place == self._place

    def drop_oldest(self) -> int:
        """Delete the oldest segment, if it is finished; how many records are lost by that."""
        known = segments(self.lane)
        if len(known) < 2:
            return 0
        lost = max(0, known[1] - max(self._place.number, known[0]))
        if self._place.segment < known[1]:
            self._place = Position(known[1], known[1])
            self.save()
        segment(self.lane, known[0]).unlink(missing_ok=True)
        return lost

    def save(self) -> None:
        """Remember how far it has got, then delete what is done with; on a full disk the other way round.

        Raises OSError; what could not be remembered will be, the next time.
        """
        if self._place == self._saved:
            return
        try:
            remember(self.lane, self._place)
        except OSError:
            self._clear()
            remember(self.lane, self._place)
        self._saved = self._place
        self._clear()

    def _clear(self) -> None:
        for first in segments(self.lane):
            if first < self._place.segment:
                segment(self.lane, first).unlink(missing_ok=True)

    def sizes(self) -> tuple[int, int]:
        """Bytes on disk, and bytes that are still to be read."""
        total = rest = 0
        for first in segments(self.lane):
            size = segment(self.lane, first).stat().st_size
            total += size
            if first == self._place.segment:
                rest += max(0, size - self._place.offset)
            elif first > self._place.segment:
                rest += size
        return total, rest

    def oldest(self) -> float | None:
        """When the oldest finished segment was last written to; None: there is none."""
        known = segments(self.lane)
        return os.stat(segment(self.lane, known[0])).st_mtime if len(known) > 1 else None

    def _find(self, known: list[int]) -> bool:
        """Stand in a segment that is there; False where there is none to read."""
        if self._place.segment in known:
            return True
        later = [first for first in known if first > self._place.segment]
        if later:
            self._enter(later[0])
        return bool(later)

    def _enter(self, first: int) -> None:
        self.missing += max(0, first - self._place.number)
        self._place = Position(first, first)

    def _records(self, most: int, size: int) -> list[Record]:
        records: list[Record] = []
        place = self._place
        with open(segment(self.lane, place.segment), "rb") as file:
            for frame, end in frames(file, place.offset):
                for data in unpack(frame)[place.index :]:
                    after = _after(place, frame.records, end)
                    records.append(Record(data, place, after))
                    place = after
                    size -= len(data)
                    if size <= 0 or len(records) == most:
                        return records
        return records


def _after(place: Position, count: int, end: int) -> Position:
    """The next record's, which is the first of the frame at ``end`` if this was the last of its ``count``."""
    if place.index + 1 == count:
        return Position(place.number + 1, place.segment, end)
    return Position(place.number + 1, place.segment, place.offset, place.index + 1)
