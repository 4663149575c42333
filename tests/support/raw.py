"""Raw bytes over real sockets: clients that say exactly what a test wants, and backends that record what they hear."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import ParamSpec

import uvloop

P = ParamSpec("P")

EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

Conversation = Callable[["Peer"], Awaitable[None]]
"""What a backend does with one connection."""


def on_uvloop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Decorates an ``async def`` test: it runs on the event loop of the real thing."""

    @functools.wraps(test)
    def sync(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(*args, **kwargs))

    return sync


class Peer:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard = b""

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        """The next head, without the empty line; b"" at the end of the connection."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            self.heard += error.partial
            return b""
        self.heard += head
        return head[:-4]

    async def message(self) -> tuple[bytes, bytes]:
        """The next head, in lower case, and the body that its Content-Length announces; both empty at the end."""
        head = (await self.head()).lower()
        size = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
        body = await self.reader.readexactly(int(size or 0))
        self.heard += body
        return head, body

    async def rest(self) -> bytes:
        """Everything until the end of the connection; a reset counts as its end."""
        try:
            data = await self.reader.read()
        except ConnectionResetError:
            data = b""
        self.heard += data
        return data

    def shut_down(self) -> None:
        """Say that nothing more will be said: on TCP, whatever is spoken on it."""
        with socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno())) as same:
            same.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Go away without a good-bye."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (OSError, ssl.SSLError):
            pass


class Backend:
    """Where it listens, and every connection it had."""

    def __init__(self) -> None:
        self.url = ""
        self.peers: list[Peer] = []

    @property
    def heard(self) -> bytes:
        return b"".join(peer.heard for peer in self.peers)


async def answer_each(peer: Peer) -> None:
    """Every request: 200, with nothing in it."""
    while (await peer.message())[0]:
        await peer.say(EMPTY)


@asynccontextmanager
async def backend(
    conversation: Conversation = answer_each, *, path: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Backend]:
    """A backend on loopback, or on the unix socket ``path``."""
    found = Backend()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer = Peer(reader, writer)
        found.peers.append(peer)
        try:
            await conversation(peer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    if path:
        server = await asyncio.start_unix_server(serve, path)
        found.url = f"unix:{path}"
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        scheme = "https" if tls else "http"
        found.url = f"{scheme}://{'localhost' if tls else '127.0.0.1'}:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks) if tasks else None


@asynccontextmanager
async def connected(
    port: int = 0, *, path: str = "", tls: ssl.SSLContext | None = None, name: str = "localhost"
) -> AsyncIterator[Peer]:
    """A client of the port on loopback, or of the unix socket ``path``."""
    if path:
        streams = await asyncio.open_unix_connection(path)
    else:
        streams = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name if tls else None)
    peer = Peer(*streams)
    try:
        yield peer
    finally:
        await peer.close()
