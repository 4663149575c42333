"""The socket of one client connection: when it is read from, and how long the client may take over what it is sent.

The rule: what is not read stays in the kernel, so that the client is held back and not the gateway filled up; and a
client that does not read what it is sent is borne as long as it reads at least something within each deadline.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .listener import Server

log = logging.getLogger("gateway.http")

LINGER = 2.0
"""Seconds in which a refused client may go on sending before its connection is closed (RFC 9112 section 9.6)."""

IDLE, HEAD, BODY, ANSWERING = range(4)
"""Phases; those before the last one have a deadline in ``Server.patience``."""


class Flow(asyncio.Protocol):
    """The half of a client connection that knows the transport, but not what is sent over it."""

    __slots__ = (
        "_clogged",
        "_cut",
        "_eof",
        "_finished",
        "_peer",
        "_reading",
        "_server",
        "_transport",
        "_unsent",
        "deadline",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._peer = b""
        self._reading = True
        self._clogged = False
        self._cut = False
        self._unsent = 0
        self._eof = False
        self._finished = False
        self.deadline = server.now + server.patience[HEAD]
        """Loop time at which ``expire`` is due; infinite while a graph works on an answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0].encode() if isinstance(peer, tuple) else b""

    def _pause(self) -> None:
        if self._reading and self._transport is not None and not self._eof:
            self._reading = False
            self._transport.pause_reading()

    def _resume(self) -> None:
        if not self._reading and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def _clog(self) -> None:
        """The client does not read as fast as it is answered; by the deadline it must have read something."""
        assert self._transport is not None
        self._clogged = True
        self._unsent = self._transport.get_write_buffer_size()
        self.deadline = self._server.now + self._server.patience[BODY]

    def _unclog(self) -> None:
        self._clogged = False
        if self._finished:
            self.deadline = self._server.now + LINGER

    def _stuck(self, transport: asyncio.Transport) -> None:
        """That deadline has passed."""
        unsent = transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._unsent = unsent
            self.deadline = self._server.now + self._server.patience[BODY]
        else:
            log.info("client does not read its answer; connection closed with %d bytes unsent", unsent)
            transport.abort()

    def _end(self, transport: asyncio.Transport, *, sending: bool) -> None:
        """Close; a client that is still ``sending`` first gets time to see its answer, and what it sends is dropped."""
        self._unsent = sys.maxsize
        self.deadline = self._server.now + LINGER
        if not sending:
            transport.close()
            return
        if transport.can_write_eof():
            transport.write_eof()
        self._resume()

    def abort(self) -> None:
        """Close at once, whatever is in progress."""
        if self._transport is not None:
            self._cut = True
            self._transport.abort()
