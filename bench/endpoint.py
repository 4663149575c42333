"""A model server for the soak: it answers every request alike, at once or, from SIGUSR1 to SIGUSR2, 200 ms late.

It knows what the gateway sends and no more: heads in one piece, bodies with a content-length.

Usage: endpoint.py PORT
"""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop
from message import whole

LATE = 0.2
"""Seconds."""


class Endpoint:
    """What all connections share."""

    def __init__(self, port: int) -> None:
        body = b'{"predictions": ["%d"]}' % port
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.answer = head + body
        self.late = 0.0

    def slow_down(self) -> None:
        self.late = LATE

    def speed_up(self) -> None:
        self.late = 0.0


class Connection(asyncio.Protocol):
    """One connection; it has at most one request at a time."""

    transport: asyncio.Transport

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.received += data
        if whole(self.received) is None:
            return
        self.received = b""
        if self.endpoint.late:
            asyncio.get_running_loop().call_later(self.endpoint.late, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.endpoint.answer)


async def main(port: int) -> None:
    endpoint, loop = Endpoint(port), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, endpoint.slow_down)
    loop.add_signal_handler(signal.SIGUSR2, endpoint.speed_up)
    server = await loop.create_server(lambda: Connection(endpoint), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
