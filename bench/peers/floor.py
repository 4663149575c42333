"""The floor: the barest weighted forwarder that uvloop and httptools allow. No limits, no timeouts, no errors.

It parses both sides, keeps connections alive and rewrites the head of each message; all else is left out. What a real
gateway in Python costs more than this is the price of its features.

Usage: floor.py PORT BACKEND_PORT=WEIGHT ...
"""

from __future__ import annotations

import asyncio
import random
import sys
from itertools import accumulate

import httptools
import uvloop


class Message(asyncio.Protocol):
    """The half of both protocols that is the same: a transport and the message being read."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def on_message_begin(self) -> None:
        self.target = b""
        self.headers: list[bytes] = []
        self.body: list[bytes] = []

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in (b"connection", b"host", b"content-length", b"transfer-encoding"):
            self.headers.append(b"%b: %b\r\n" % (name, value))

    def on_body(self, part: bytes) -> None:
        self.body.append(part)

    def write(self, first_line: bytes, headers: list[bytes], parts: list[bytes]) -> None:
        body = b"".join(parts)
        self.transport.write(b"%b%bcontent-length: %d\r\n\r\n%b" % (first_line, b"".join(headers), len(body), body))


class Upstream(Message):
    """A connection to a backend; idle unless ``client`` waits for it."""

    client: Client

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.backend.idle.append(self)
        if self.client.transport.is_closing():
            return  # the load generator leaves at the end of each run
        self.client.write(b"HTTP/1.1 %d OK\r\n" % self.parser.get_status_code(), self.headers, self.body)


class Backend:
    def __init__(self, port: int) -> None:
        self.port = port
        self.host = b"host: 127.0.0.1:%d\r\n" % port
        self.idle: list[Upstream] = []

    def send(self, client: Client, first_line: bytes) -> None:
        if self.idle:
            self._send(self.idle.pop(), client, first_line)
        else:
            connecting = asyncio.ensure_future(self._connect())
            connecting.add_done_callback(lambda done: self._send(done.result(), client, first_line))

    async def _connect(self) -> Upstream:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: Upstream(self), "127.0.0.1", self.port))[1]

    def _send(self, upstream: Upstream, client: Client, first_line: bytes) -> None:
        upstream.client = client
        upstream.write(first_line + self.host, client.headers, client.body)


class Client(Message):
    """A connection of the load generator."""

    def __init__(self, backends: list[Backend], cumulative: list[int]) -> None:
        self.backends = backends
        self.cumulative = cumulative
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        (backend,) = random.choices(self.backends, cum_weights=self.cumulative)
        backend.send(self, b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), self.target))


async def main(port: str, *pairs: str) -> None:
    ports, weights = zip(*(map(int, pair.split("=")) for pair in pairs), strict=True)
    backends, cumulative = [Backend(port) for port in ports], list(accumulate(weights))
    server = await asyncio.get_running_loop().create_server(
        lambda: Client(backends, cumulative), "127.0.0.1", int(port), backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
