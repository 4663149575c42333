"""Lane: the requests of one key, which may share a call. First come, first served; a request is never divided."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Iterable
from math import inf

import msgspec

from gateway.formats.format import Format, Member
from gateway.message import Response
from gateway.service import Service

from .rhythm import Rhythm

LEAST_REST, LONGEST_REST = 10.0, 300.0
"""Seconds without batching after the first, and after any, answer that could not be taken apart."""


class Case(msgspec.Struct, eq=False):
    """A batch that failed as a whole, and is being made again in parts."""

    size: int
    """Requests in it."""
    guilty: int = 0
    """Those that failed alone, too."""


class Part(msgspec.Struct, eq=False):
    """Requests that are sent together, and with nobody else."""

    case: Case


class Entry(msgspec.Struct, eq=False):
    """A request on its way through a batch; times are the loop's."""

    lane: Lane
    member: Member
    answer: Future[Response]
    since: float
    batch: Batch | None = None
    """The call that it is part of; None: it waits."""
    part: Part | None = None
    gone: bool = False
    """Nobody waits for its answer any more, or it has it."""

    @property
    def deadline(self) -> float:
        return self.member.request.deadline


class Batch(msgspec.Struct, eq=False):
    """One call under way, or about to be."""

    lane: Lane
    entries: list[Entry]
    rows: int
    started: float
    lingered: float
    """Seconds for which it waited although it could have been sent."""
    wanted: int
    """Entries that are not gone."""


class Lane:
    """What waits of one key, and how its calls are made."""

    __slots__ = ("absent", "call", "format", "rest_until", "rhythm", "rows", "running", "strikes", "used", "waiting")

    def __init__(self, call: Service, format: Format, now: float) -> None:
        self.call = call
        self.format = format
        self.waiting: deque[Entry] = deque()
        self.absent = 0
        """Entries in ``waiting`` that are gone."""
        self.rows = 0
        """Rows that wait or are under way."""
        self.running = 0
        """Batches under way."""
        self.rhythm = Rhythm()
        self.strikes = 0
        self.rest_until = -inf
        """Until then nothing is merged."""
        self.used = now

    def __repr__(self) -> str:
        return f"<Lane waiting={len(self.waiting) - self.absent} running={self.running} {self.rhythm!r}>"

    @property
    def idle(self) -> bool:
        """Nothing of it waits or is under way."""
        return not (self.rows or self.running)

    def head(self) -> Entry | None:
        """The first that waits."""
        if self.absent:
            self.waiting = deque(entry for entry in self.waiting if not entry.gone)
            self.absent = 0
        return self.waiting[0] if self.waiting else None

    def candidates(self, most: int, now: float) -> tuple[list[Entry], int, bool]:
        """Those that would go together now, up to ``most`` rows; their rows; and whether no more can join them."""
        first = self.head()
        assert first is not None
        together: list[Entry] = []
        rows = 0
        for entry in self.waiting:
            if entry.part is not first.part or rows + entry.member.rows > most:
                return together, rows, True
            together.append(entry)
            rows += entry.member.rows
            if now < self.rest_until:
                return together, rows, True
        return together, rows, first.part is not None or rows >= most

    def again(self, parts: Iterable[list[Entry]], case: Case) -> None:
        """Send these once more, each part by itself: after the parts that wait already, before everybody else.

        So one bad row does not make many failures in a row, for which its endpoint might be left out.
        """
        first: list[Entry] = []
        others: list[Entry] = []
        for entry in self.waiting:
            (others if entry.part is None else first).append(entry)
        for entries in parts:
            part = Part(case)
            for entry in entries:
                if not entry.gone:
                    entry.part, entry.batch = part, None
                    first.append(entry)
        self.waiting = deque(first + others)

    def rest(self, until: float) -> None:
        """Merge nothing for a while."""
        self.rest_until = max(self.rest_until, until)

    def strike(self, now: float) -> None:
        """An answer could not be taken apart: the next attempt comes later each time."""
        self.rest(now + min(LEAST_REST * 2.0 ** min(self.strikes, 8), LONGEST_REST))
        self.strikes += 1
