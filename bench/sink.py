"""A backend that reads the whole body of each request before it answers; nginx would answer at the head.

It knows what the peers send and no more: a head in one piece, with a content-length. With `--hold` it answers small
requests only, and leaves those of more than 64 KiB waiting.

Usage: sink.py PORT [--hold]
"""

from __future__ import annotations

import asyncio
import math
import sys

import uvloop
from load import answer
from message import LENGTH

TOP = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


class Sink(asyncio.Protocol):
    """One connection; between requests ``left`` is 0."""

    transport: asyncio.Transport

    def __init__(self, reply: bytes, longest: float) -> None:
        self.reply = reply
        self.longest = longest
        self.head = b""
        self.length = self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if not self.left:
            head, end, data = (self.head + data).partition(b"\r\n\r\n")
            if not end:
                self.head = head
                return
            self.head = b""
            length = LENGTH.search(head)
            self.left = self.length = int(length[1]) if length else 0
        self.left -= len(data)
        if not self.left and self.length <= self.longest:
            self.transport.write(self.reply)


async def main(port: str, *flags: str) -> None:
    small = answer(int(port), 100)
    reply, longest = TOP % len(small) + small, 64 << 10 if "--hold" in flags else math.inf
    server = await asyncio.get_running_loop().create_server(
        lambda: Sink(reply, longest), "127.0.0.1", int(port), backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
