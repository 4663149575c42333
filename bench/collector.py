"""A receiver of payload events: it notes which ones it was sent, in a file, and takes every one.

Each line is an event's type, id and correlationid. It knows what the gateway sends and no more: heads in one piece,
bodies with a content-length, and all three content modes.

Usage: collector.py PORT FILE
"""

from __future__ import annotations

import asyncio
import os
import re
import sys

import orjson
import uvloop
from message import whole

ATTRIBUTE = re.compile(rb"\r\nce-(type|id|correlationid): *([^\r]*)", re.IGNORECASE)
TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
NOTED = ("type", "id", "correlationid")


class Receiver(asyncio.Protocol):
    """One connection; it has at most one request at a time."""

    transport: asyncio.Transport

    def __init__(self, file: int) -> None:
        self.file = file
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.received += data
        message = whole(self.received)
        if message is None:
            return
        self.received = b""
        # Noted before it is said: who dies between the two is sent the event again.
        os.write(self.file, noted(*message))
        self.transport.write(TAKEN)


def noted(head: bytes, body: bytes) -> bytes:
    """The lines of one call."""
    if b"application/cloudevents" not in head:
        found = {name.decode().lower(): value.decode() for name, value in ATTRIBUTE.findall(head)}
        return _line(found)
    events = orjson.loads(body)
    return b"".join(map(_line, events if isinstance(events, list) else [events]))


def _line(attributes: dict[str, str]) -> bytes:
    return (" ".join(attributes[name] for name in NOTED) + "\n").encode()


async def main(port: str, file: str) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(descriptor), "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
