"""Whether a client that has shut down its side of the connection still waits for its answer (RFC 9112 section 9.6).

It may be half-closed, or gone: the kernel says the same of both until something is written to it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from .wire import CONTINUE

PROBE_AFTER = 0.05
"""Seconds after which a client that has shut down its side while it waits is asked whether it is still there."""

_TCP_CLOSED = 7


class Probe:
    """Aborts the connection of a client that has gone away while its answer is being made.

    An interim answer is what every HTTP/1.1 client must be able to ignore (RFC 9110 section 15.2); a socket that nobody
    holds any more answers it with a reset.
    """

    __slots__ = ("_loop", "_sent", "_transport", "_waiting")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, waiting: Callable[[], bool]
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = waiting
        self._sent = False
        loop.call_later(PROBE_AFTER, self._probe)

    def _probe(self) -> None:
        if not self._waiting():
            return
        if not self._sent:
            self._sent = True
            self._transport.write(CONTINUE)
        elif _is_reset(self._transport):
            self._transport.abort()
            return
        self._loop.call_later(PROBE_AFTER, self._probe)


def _is_reset(transport: asyncio.Transport) -> bool:
    """Ask the kernel, since a transport that has read to the end hears of a reset only when it writes again."""
    peer = transport.get_extra_info("socket")
    if peer is None or peer.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    with socket.socket(fileno=os.dup(peer.fileno())) as same:
        return same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSED
