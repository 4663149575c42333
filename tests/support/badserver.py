"""A model server that does everything wrong that real ones do, on a real port, when the test says so.

``async with badserver() as server: server.does(Late(0.02), Reset(), always=Answer(200, b"{}"))``: what it does is in
behaviours.py. Whatever it is asked, it keeps what it heard.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.behaviours import Answer, Behaviour, Serve


@dataclass
class Received:
    """One request; ``body`` is empty until it has been read."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    """Names in lower case."""
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class Script:
    """Behaviours one after the other, and what is done when there are no more."""

    def __init__(self, behaviours: Iterable[Behaviour], always: Behaviour) -> None:
        self.coming = deque(behaviours)
        self.always = always

    def next(self) -> Behaviour:
        return self.coming.popleft() if self.coming else self.always

    def go_on(self, behaviours: Iterable[Behaviour], always: Behaviour | None) -> None:
        self.coming.extend(behaviours)
        self.always = always or self.always


class Line(asyncio.StreamReaderProtocol):
    """One connection. What is being done with it ends when the client leaves, or shuts down its writing side."""

    def __init__(self, server: BadServer) -> None:
        self.reader = asyncio.StreamReader()
        super().__init__(self.reader, self._accepted)
        self.server = server
        self.request: Received | None = None
        self._unread = 0
        self._ours = False

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.server.connections += 1
        self.server.lines.add(self)
        self.work = asyncio.get_running_loop().create_task(self._live())

    async def _live(self) -> None:
        try:
            await self.server.meeting.next()(self)
        except (OSError, EOFError):
            pass  # the client left, or we did
        finally:
            self.close()

    def eof_received(self) -> bool:
        self._left()
        super().eof_received()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._left()
        self.server.lines.discard(self)
        super().connection_lost(error)

    def _left(self) -> None:
        if not self._ours:
            self._ours = True
            self.server.closed.set()
            self.work.cancel()

    async def head(self) -> None:
        """Wait for the head of the next request. Raises EOFError when there will be none."""
        if self._ours:
            raise EOFError
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head[:-4].split("\r\n")
        method, target, _ = line.split(" ", 2)
        pairs = (field.split(":", 1) for field in fields)
        self.request = Received(method, target, [(name.lower(), value.strip()) for name, value in pairs])
        self._unread = int(self.request.header("content-length") or 0)
        self.server.requests.append(self.request)
        self.server.attempts[target] += 1
        self.server.arrived.release()

    async def body(self) -> None:
        """Read the body that a Content-Length announced, unless it has been."""
        if self.request is not None and self._unread:
            self.request.body = await self.reader.readexactly(self._unread)
            self._unread = 0

    async def say(self, data: bytes) -> None:
        """Write, as fast as the client reads."""
        self.writer.write(data)
        await self.writer.drain()
        self.server.said += len(data)

    async def ended(self) -> None:
        """Wait until the client leaves, which ends all that is done with the connection."""
        await asyncio.get_running_loop().create_future()

    def stop_reading(self) -> None:
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def close(self) -> None:
        """What has been said will still arrive."""
        self._ours = True
        self.writer.close()

    def reset(self) -> None:
        """Send a RST; what the client has not read yet it may never see."""
        self._ours = True
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()


class BadServer:
    """Where it listens, what it does, and what became of it so far."""

    def __init__(self) -> None:
        # Bound, and never listening: nobody else gets the port, and while we do not listen either, it refuses.
        self._keeper = _bound(0)
        self.port: int = self._keeper.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[Received] = []
        self.attempts: Counter[str] = Counter()
        """Requests by target."""
        self.connections = 0
        self.lines: set[Line] = set()
        """The open connections."""
        self.said = 0
        """Bytes written of what went through ``Line.say``."""
        self.arrived = asyncio.Semaphore(0)
        """Released by every head of a request."""
        self.closed = asyncio.Event()
        """Set once a client has closed a connection; clear it to wait for another."""
        self.doing = Script((), Answer())
        self.meeting = Script((), Serve())
        self._listener: asyncio.Server | None = None

    def does(self, *behaviours: Behaviour, always: Behaviour | None = None) -> BadServer:
        """What happens to the next requests, each its own; ``always``: to all after them (at first: ``Answer()``)."""
        self.doing.go_on(behaviours, always)
        return self

    def meets(self, *behaviours: Behaviour, always: Behaviour | None = None) -> BadServer:
        """What happens to the next connections; ``always``: to all after them (at first: ``Serve()``)."""
        self.meeting.go_on(behaviours, always)
        return self

    async def up(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Line(self), sock=_bound(self.port), start_serving=True)

    def down(self) -> None:
        """Refuse connections, and close those that there are: what the end of a process looks like."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for line in list(self.lines):
            line.close()
            line.work.cancel()

    async def close(self) -> None:
        self.down()
        self._keeper.close()
        if ending := [line.work for line in self.lines]:
            await asyncio.wait(ending)
        for line in list(self.lines):
            line.writer.transport.abort()
        await asyncio.sleep(0)


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


@asynccontextmanager
async def badserver(*, up: bool = True) -> AsyncIterator[BadServer]:
    """A server that listens; or, not ``up``, whose port refuses connections until ``await server.up()``."""
    server = BadServer()
    try:
        if up:
            await server.up()
        yield server
    finally:
        await server.close()
