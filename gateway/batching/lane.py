"""Lane: the requests of one key, which may share a call. The most urgent first; a request is never divided."""

from __future__ import annotations

from asyncio import Future
from bisect import insort_right
from collections import deque
from collections.abc import Iterable

import msgspec

from gateway.formats.format import Format, Member
from gateway.message import Response
from gateway.service import Service

from .kind import Kind


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
    rank: float
    """Who has less is sent before: when it came, and later by what less urgent requests stand behind others."""
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

    __slots__ = ("absent", "call", "format", "kind", "parts", "rows", "running", "used", "waiting")

    def __init__(self, call: Service, format: Format, kind: Kind, now: float) -> None:
        self.call = call
        self.format = format
        self.kind = kind
        self.parts: deque[Entry] = deque()
        """Those that are sent once more, each part by itself."""
        self.waiting: deque[Entry] = deque()
        """Everybody else that waits, by rank."""
        self.absent = 0
        """Entries in either that are gone."""
        self.rows = 0
        """Rows that wait or are under way."""
        self.running = 0
        """Batches under way."""
        self.used = now

    def __repr__(self) -> str:
        waiting = len(self.parts) + len(self.waiting) - self.absent
        return f"<Lane waiting={waiting} running={self.running} {self.kind.rhythm!r}>"

    @property
    def idle(self) -> bool:
        """Nothing of it waits or is under way."""
        return not (self.rows or self.running)

    @property
    def line(self) -> deque[Entry]:
        """Those whose turn it is: parts before everybody else.

        So one bad row does not make many failures in a row, for which its endpoint might be left out.
        """
        return self.parts or self.waiting

    def join(self, entry: Entry) -> None:
        """Wait behind all that rank before it, or come as urgent and came earlier."""
        if self.waiting and self.waiting[-1].rank > entry.rank:
            insort_right(self.waiting, entry, key=_rank)
        else:
            self.waiting.append(entry)

    def head(self) -> Entry | None:
        """The first that waits."""
        if self.absent:
            self.parts = deque(entry for entry in self.parts if not entry.gone)
            self.waiting = deque(entry for entry in self.waiting if not entry.gone)
            self.absent = 0
        line = self.line
        return line[0] if line else None

    def candidates(self, most: int, now: float) -> tuple[list[Entry], int, bool]:
        """Those that would go together now, up to ``most`` rows; their rows; and whether no more can join them."""
        first = self.head()
        assert first is not None
        together: list[Entry] = []
        rows = 0
        for entry in self.line:
            if entry.part is not first.part or rows + entry.member.rows > most:
                return together, rows, True
            together.append(entry)
            rows += entry.member.rows
            if now < self.kind.rest_until:
                return together, rows, True
        return together, rows, first.part is not None or rows >= most

    def again(self, parts: Iterable[list[Entry]], case: Case) -> None:
        """Send these once more, each part by itself, after the parts that wait already."""
        for entries in parts:
            part = Part(case)
            for entry in entries:
                if not entry.gone:
                    entry.part, entry.batch = part, None
                    self.parts.append(entry)


def _rank(entry: Entry) -> float:
    return entry.rank
