"""What a bad server does, with a connection once it is accepted, or with a request once its head is there.

Behaviours hold others. They write bytes, not HTTP: none keeps a rule of the protocol unless it was told to.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.badserver import Line

Behaviour = Callable[["Line"], Awaitable[None]]
Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Serve:
    """Requests one after the other, by ``script`` and then as the server says; closes after ``limit`` of them."""

    script: tuple[Behaviour, ...] = ()
    limit: int | None = None

    async def __call__(self, line: Line) -> None:
        coming = deque(self.script)
        for _ in count() if self.limit is None else range(self.limit):
            await line.head()
            await (coming.popleft() if coming else line.server.doing.next())(line)
            await line.body()


@dataclass(frozen=True)
class Answer:
    """A proper answer; ``chunk``: in chunks of so many bytes, in place of a Content-Length."""

    status: int = 200
    body: bytes = b"{}"
    headers: Fields = (("content-type", "application/json"),)
    chunk: int = 0

    @property
    def head(self) -> bytes:
        framing = ("transfer-encoding", "chunked") if self.chunk else ("content-length", str(len(self.body)))
        lines = (f"{name}: {value}\r\n" for name, value in (*self.headers, framing))
        return f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{''.join(lines)}\r\n".encode("latin-1")

    @property
    def content(self) -> bytes:
        """The body as it travels."""
        if not self.chunk:
            return self.body
        parts = (self.body[at : at + self.chunk] for at in range(0, len(self.body), self.chunk))
        return b"".join(map(chunked, parts)) + b"0\r\n\r\n"

    @property
    def bytes(self) -> bytes:
        return self.head + self.content

    async def __call__(self, line: Line) -> None:
        await line.body()
        await line.say(self.bytes)


def chunked(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def busy(status: int = 503, retry_after: str = "1") -> Answer:
    """It cannot now: 429 or 503, and when to come again."""
    return Answer(status, b'{"error":"busy"}', (("retry-after", retry_after),))


def redirect(location: str, status: int = 307) -> Answer:
    """It is somewhere else."""
    return Answer(status, b"", (("location", location),))


@dataclass(frozen=True)
class Say:
    """Exactly these bytes, once the request is read; ``Say(b"")`` answers nothing and waits for the next one."""

    data: bytes

    async def __call__(self, line: Line) -> None:
        await line.body()
        await line.say(self.data)


GARBAGE = Say(b"\x16\x03\x01\x02\x00 no, this is not HTTP \xff\r\n\r\n")


def twice(answer: Answer) -> Say:
    """Two answers to one request, in one piece."""
    return Say(answer.bytes * 2)


class Up(Enum):
    """How much of an answer is sent before the connection ends."""

    TO_NOTHING = 0
    INTO_THE_HEAD = 1
    TO_THE_BODY = 2
    INTO_THE_BODY = 3
    """Into a chunk, where there are chunks."""

    def of(self, answer: Answer) -> bytes:
        head, content = answer.head, answer.content
        ends = (0, len(head) // 2, len(head), len(head) + len(content) // 2)
        return (head + content)[: ends[self.value]]


LONG = Answer(200, b"x" * 200)


@dataclass(frozen=True)
class Close:
    """End the connection in good order, but too early."""

    up: Up = Up.TO_NOTHING
    of: Answer = LONG

    async def __call__(self, line: Line) -> None:
        await line.body()
        await line.say(self.up.of(self.of))
        line.close()


@dataclass(frozen=True)
class Reset:
    """End the connection with a RST. What was sent before has a moment to arrive: a RST overtakes it."""

    up: Up = Up.TO_NOTHING
    of: Answer = LONG
    moment: float = 0.01

    async def __call__(self, line: Line) -> None:
        await line.body()
        if sent := self.up.of(self.of):
            await line.say(sent)
            await asyncio.sleep(self.moment)
        line.reset()


@dataclass(frozen=True)
class Late:
    """Do it ``seconds`` later. Of a connection: accept it, and look at it only then."""

    seconds: float
    then: Behaviour = Answer()

    async def __call__(self, line: Line) -> None:
        await asyncio.sleep(self.seconds)
        await self.then(line)


@dataclass(frozen=True)
class Hang:
    """Hear all of it, and never say anything."""

    async def __call__(self, line: Line) -> None:
        await line.body()
        await line.ended()


@dataclass(frozen=True)
class Deaf:
    """Say ``first``, and read no more: the socket buffers fill up. That the client leaves is not noticed either."""

    first: bytes = b""

    async def __call__(self, line: Line) -> None:
        line.stop_reading()
        await line.say(self.first)
        await line.ended()


@dataclass(frozen=True)
class Early:
    """Answer before the body is there, and read it then."""

    answer: Answer = Answer()

    async def __call__(self, line: Line) -> None:
        await line.say(self.answer.bytes)
        await line.body()


@dataclass(frozen=True)
class Dribble:
    """The answer byte by byte, each in a packet of its own."""

    answer: Answer = Answer()
    pause: float = 0.0

    async def __call__(self, line: Line) -> None:
        await line.body()
        for byte in self.answer.bytes:
            await line.say(bytes((byte,)))
            await asyncio.sleep(self.pause)


@dataclass(frozen=True)
class Interim:
    """Informational answers (RFC 9110 section 15.2), and then the rest."""

    statuses: tuple[int, ...] = (100, 103)
    then: Behaviour = Answer()

    async def __call__(self, line: Line) -> None:
        for status in self.statuses:
            await line.say(b"HTTP/1.1 %d %b\r\n\r\n" % (status, HTTPStatus(status).phrase.encode()))
        await self.then(line)


@dataclass(frozen=True)
class Endless:
    """A chunked body without an end, as fast as the client reads."""

    piece: bytes = b"x" * 4096

    async def __call__(self, line: Line) -> None:
        await line.body()
        await line.say(Answer(chunk=1).head)
        while True:
            await line.say(chunked(self.piece))
            await asyncio.sleep(0)


@dataclass(frozen=True)
class Events:
    """Server-sent events, numbered from 0, ``interval`` seconds apart; ``then``: in place of an end of the body."""

    number: int
    interval: float = 0.0
    then: Behaviour | None = None

    async def __call__(self, line: Line) -> None:
        await line.body()
        await line.say(Answer(headers=(("content-type", "text/event-stream"),), chunk=1).head)
        for event in range(self.number):
            await line.say(chunked(b"data: %d\n\n" % event))
            await asyncio.sleep(self.interval)
        await (self.then(line) if self.then else line.say(b"0\r\n\r\n"))
