"""Delivery: writes the body of one streamed answer to a client, so that its end can be told from its breaking off.

The rule: what is not complete never looks complete. A chunked body has no last chunk then, one of a known length is
shorter, and one that lasts until the connection closes is reset (RFC 9112 section 8).
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Protocol

from gateway.errors import ClientClosed, ConnectionCut, GatewayError
from gateway.stream import Stream

CHUNKED = b"transfer-encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_LARGE = 64 << 10
_RESET = b"\x01\0\0\0\0\0\0\0"
"""SO_LINGER: on, for no time."""


class Client(Protocol):
    """Told how it went, once, unless it was cancelled; and of every write, how many bytes it had."""

    def delivered(self, *, whole: bool) -> None: ...
    def wrote(self, size: int, /) -> None: ...


class Delivery:
    """The sink of ``stream``. ``minor``: of the client's HTTP version; 1.0 knows no chunks."""

    __slots__ = ("_chunked", "_client", "_stream", "_transport", "framing")

    def __init__(self, stream: Stream, transport: asyncio.Transport, client: Client, minor: int) -> None:
        self._stream = stream
        self._transport = transport
        self._client = client
        self._chunked = stream.length is None and minor > 0
        self.framing = CHUNKED if self._chunked else b""
        """The line of the head that says how the end will be told; empty: by closing."""
        if stream.length is not None:
            self.framing = b"content-length: %d\r\n" % stream.length

    def begin(self, head: bytes) -> None:
        """Write ``head`` and, in the same breath, what has come of the body."""
        self._write(head, self._stream.take())
        self._stream.connect(self)

    def flow(self) -> None:
        """The client reads: let more come."""
        self._stream.resume()

    def hold(self) -> None:
        """The client does not read: let nothing come for now."""
        self._stream.pause()

    def leave(self, *, cut: bool) -> None:
        """The client has gone; ``cut``: because the gateway closed the connection."""
        whose = "the gateway closed the connection" if cut else "the client left"
        self._stream.cancel((ConnectionCut if cut else ClientClosed)(f"{whose} before the end of its answer"))

    # The stream calls these.

    def chunk(self, data: bytes) -> None:
        self._write(b"", data)

    def end(self) -> None:
        if self._chunked:
            self._transport.write(LAST_CHUNK)
            self._client.wrote(len(LAST_CHUNK))
        self._client.delivered(whole=True)

    def fail(self, error: GatewayError) -> None:
        if not self.framing:
            reset(self._transport)
        self._client.delivered(whole=False)

    def _write(self, head: bytes, data: bytes) -> None:
        after = b""
        if self._chunked and data:
            head, after = b"%b%x\r\n" % (head, len(data)), b"\r\n"
        self._client.wrote(len(head) + len(data) + len(after))
        if len(data) < _LARGE:
            self._transport.write(head + data + after)
        else:
            self._transport.writelines([part for part in (head, data, after) if part])


def reset(transport: asyncio.Transport) -> None:
    """Close at once, and not in good order: on TCP the other side sees an error, whatever it has read."""
    peer = transport.get_extra_info("socket")
    if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(fileno=os.dup(peer.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
