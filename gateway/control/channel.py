"""What the control process and a worker say to each other: length-prefixed msgpack over a socket pair.

A Call carries an ``id`` and its answer the same one. The end of the stream means that the other side is dead.
"""

from __future__ import annotations

import asyncio
import socket
from math import inf
from typing import Any, Generic, Literal, TypeVar

import msgspec

from gateway.telemetry.access import Lines


class Call(msgspec.Struct, tag=True):
    """What the control process asks of a worker and waits for."""

    id: int = 0


class Prepare(Call, kw_only=True):
    """Build this configuration (a Config in msgpack) without using it yet. Answer: Ready or Failed."""

    generation: int
    config: bytes


class Commit(Call, kw_only=True):
    """Serve with what was prepared. Answer: Serving, or Failed where the listeners cannot be opened."""

    generation: int


class Describe(Call):
    """Tell the state of the backends. Answer: Description."""


class Drain(Call, kw_only=True):
    """Stop accepting, finish what is in flight within ``timeout`` seconds, answer Drained and exit."""

    timeout: float


class Abort(msgspec.Struct, tag=True):
    """Throw away what was prepared."""

    generation: int


class Unready(msgspec.Struct, tag=True):
    """Say on the data port that the gateway is not ready, and go on serving."""


class Reopen(msgspec.Struct, tag=True):
    """Hand on what waits for log files: they are about to give way to new ones."""


class Level(msgspec.Struct, tag=True):
    """Log from ``level`` up."""

    level: str


class Stop(msgspec.Struct, tag=True):
    """Exit now, whatever is in flight."""


AnyCall = Prepare | Commit | Describe | Drain
ToWorker = AnyCall | Abort | Unready | Reopen | Level | Stop


class Answer(msgspec.Struct, tag=True):
    """What a worker answers; ``id`` is that of the Call."""

    id: int


class Ready(Answer):
    """It is built and could be served."""


class Failed(Answer):
    """It cannot be served; ``errors`` are lines to print."""

    errors: tuple[str, ...]


class Serving(Answer):
    """New requests meet the new generation."""


class Description(Answer):
    """One mapping for each endpoint."""

    clusters: list[dict[str, Any]]


class Drained(Answer):
    """The end; ``clean`` when every request was answered."""

    clean: bool


class Spans(msgspec.Struct, tag=True):
    """So many spans that have ended, to be exported; encoded, for nobody looks at them on the way."""

    count: int
    spans: bytes


Unasked = Spans | Lines
"""What a worker sends on, and waits for no answer."""

FromWorker = Ready | Failed | Serving | Description | Drained | Unasked


class Handed(msgspec.Struct, frozen=True):
    """The argument of ``python -m gateway.worker``: who it is, and the file descriptors that it was started with."""

    slot: int
    workers: int
    channel: int
    segment: int
    sockets: tuple[int, ...]
    log_level: str
    log_format: Literal["text", "json"] = "text"
    traced: bool = False
    """Somebody takes spans."""


In = TypeVar("In")
Out = TypeVar("Out", bound=msgspec.Struct)

_PREFIX = 4


class Channel(Generic[In, Out]):
    """One end of the socket pair: receives ``In``, sends ``Out``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder: msgspec.msgpack.Decoder[In] = msgspec.msgpack.Decoder(incoming)

    def send(self, message: Out) -> None:
        """Queue ``message``; to a dead peer it is lost, which ``receive`` will tell."""
        frame = msgspec.msgpack.encode(message)
        if not self._writer.transport.is_closing():  # which a write to a dead peer has done to it
            self._writer.write(len(frame).to_bytes(_PREFIX, "big") + frame)

    @property
    def backlog(self) -> float:
        """Bytes that the other side has not taken yet; infinite when it never will."""
        transport = self._writer.transport
        return inf if transport.is_closing() else transport.get_write_buffer_size()

    async def receive(self) -> In | None:
        """The next message; None once the other side is gone."""
        try:
            size = int.from_bytes(await self._reader.readexactly(_PREFIX), "big")
            return self._decoder.decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def close(self) -> None:
        """Send what is queued, then close."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass  # The other side went first.


async def control_end(sock: socket.socket) -> Channel[FromWorker, ToWorker]:
    """The control process's end."""
    return Channel(*await asyncio.open_unix_connection(sock=sock), FromWorker)


async def worker_end(sock: socket.socket) -> Channel[ToWorker, FromWorker]:
    """A worker's end."""
    return Channel(*await asyncio.open_unix_connection(sock=sock), ToWorker)
