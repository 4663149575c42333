"""A transport without a network, and the ways in which the same bytes can arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

HIGH_WATER = 64 << 10

_EVERY_SPLIT = 400


def deliveries(wire: bytes) -> Iterator[list[bytes]]:
    """``wire`` whole, byte by byte and, while it is small, cut in two at every point."""
    yield [wire]
    yield [wire[at : at + 1] for at in range(len(wire))]
    if len(wire) <= _EVERY_SPLIT:
        for at in range(1, len(wire)):
            yield [wire[:at], wire[at:]]


class MockTransport(asyncio.Transport):
    """Records what a protocol writes; hands over what the peer sends, as long as the protocol reads.

    ``peer_reads = False``: what is written stays in the buffer, as with a peer that does not read.
    """

    def __init__(self, protocol: asyncio.Protocol, *, half_closable: bool = True, peer: object = ("192.0.2.7", 5)):
        super().__init__({"peername": peer})
        self.protocol = protocol
        self.written = bytearray()
        self.peer_reads = True
        self.reading = True
        self.aborted = False
        self.eof_written = False
        self.ended = False
        self._closing = False
        self._half_closable = half_closable
        self._buffered = 0
        self._paused = False
        self._waiting: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        protocol.connection_made(self)

    # What the peer does.

    async def sends(self, *pieces: bytes) -> None:
        """The peer sends; what the protocol does not want to read yet waits."""
        for piece in pieces:
            self._waiting.append(piece)
            self._deliver()
        await settle()

    async def hangs_up(self) -> None:
        """The peer shuts down its side."""
        if not self._closing and not self.protocol.eof_received():
            self.close()
        await settle()

    async def resets(self) -> None:
        self._end(ConnectionResetError("reset by peer"))
        await settle()

    async def takes(self, size: int | None = None) -> None:
        """The peer reads ``size`` bytes of what is buffered, or everything."""
        self._buffered -= self._buffered if size is None else size
        if self._paused and self._buffered <= HIGH_WATER // 4:
            self._paused = False
            self.protocol.resume_writing()
        if self._closing and not self._buffered:
            self._end(None)
        await settle()

    def answers(self) -> bytes:
        """What was written since the last call."""
        written = bytes(self.written)
        self.written.clear()
        return written

    # What the protocol does.

    def write(self, data: Any) -> None:
        assert not self.eof_written
        if self._closing:
            return
        self.written += data
        if not self.peer_reads:
            self._buffered += len(data)
            if self._buffered > HIGH_WATER and not self._paused:
                self._paused = True
                self.protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return self._buffered

    def can_write_eof(self) -> bool:
        return self._half_closable

    def write_eof(self) -> None:
        assert self._half_closable
        self.eof_written = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True
        self._loop.call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        if not self._buffered:
            self._end(None)

    def abort(self) -> None:
        self.aborted = True
        self._end(None)

    def _deliver(self) -> None:
        while self._waiting and self.reading and not self._closing:
            self.protocol.data_received(self._waiting.pop(0))

    def _end(self, error: Exception | None) -> None:
        self._closing = True
        if not self.ended:
            self.ended = True
            self._loop.call_soon(self.protocol.connection_lost, error)


async def settle() -> None:
    """Let everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)
