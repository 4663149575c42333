"""A model server as fast as the gateway, for tests under load, and clients that keep their connections."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from itertools import count, takewhile
from typing import Any

_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_GENERATION = re.compile(rb"x-generation: (\d+)")


class EchoModel:
    """Answers with the ``x-generation`` header it got and the body it got; counts connections and calls."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.calls = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self.calls += 1
                generation = _GENERATION.search(head)
                answer = b'{"generation":%b,"got":%b}' % (generation[1] if generation else b"null", body)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


class Client:
    """One keep-alive connection to a gateway; reconnects after it was lost, and counts how often it was."""

    def __init__(self, url: str, path: str) -> None:
        self._host, _, port = url.removeprefix("http://").rpartition(":")
        self._port = int(port)
        self._path = path.encode()
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.lost = 0
        self.statuses: dict[int, int] = {}

    async def ask(self, body: bytes) -> Any:
        """The parsed answer; None when the connection was lost instead."""
        try:
            if self._stream is None:
                self._stream = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._stream
            head = b"POST %b HTTP/1.1\r\nhost: gateway\r\ncontent-length: %d\r\n\r\n" % (self._path, len(body))
            writer.write(head + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            answer = await reader.readexactly(int(length[1]) if length else 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost += 1
            self.close()
            return None
        status = int(head[9:12])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return json.loads(answer)

    def close(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None


async def load(clients: list[Client], goes_on: Callable[[int], bool], check: Callable[[Any, int], None]) -> None:
    """Requests, numbered from 0, from all ``clients`` while ``goes_on``; ``check`` gets each answer and its number."""
    numbers = takewhile(goes_on, count())

    async def work(client: Client) -> None:
        for number in numbers:
            if (answer := await client.ask(b'{"n":%d}' % number)) is not None:
                check(answer, number)
        client.close()

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(work(client))
