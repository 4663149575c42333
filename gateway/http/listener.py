"""The Server of one worker: its listening sockets, its client connections, their deadlines, their end."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from math import inf

from gateway.config import schema
from gateway.errors import NoHealthyUpstream, Overloaded
from gateway.message import Request, Response
from gateway.telemetry.metrics import Registry

from .arrival import ReaderLimits, Refusal
from .buffers import Buffers
from .server import ServerConnection
from .wire import http_date

log = logging.getLogger("gateway.http")

TICK = 0.05
"""Seconds between two sweeps of the client connections; the precision of their deadlines."""

BACKLOG = 4096

GRACE = 0.3
"""Seconds that a drain leaves idle connections, in which requests that are on their way still arrive."""


def _unnoted(refusal: Refusal) -> None:
    """Where there is no access log."""


async def _not_configured(request: Request) -> Response:
    raise NoHealthyUpstream("no configuration is loaded")


class Server:
    """Accepts clients and hands their requests to ``app``; assigning another ``app`` is how a generation is swapped."""

    def __init__(
        self, config: schema.Server, registry: Registry, workers: int = 1, buffers: Buffers | None = None
    ) -> None:
        self.app: Callable[[Request], Awaitable[Response]] = _not_configured
        self.note: Callable[[Refusal], None] = _unnoted
        """Is told of clients that never reach ``app``."""
        self.draining = False
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time()
        self.date_field = b""
        self.connections: set[ServerConnection] = set()
        self._workers = workers
        self._buffers = buffers or Buffers()
        self._buffered = registry.gauge("gateway_buffered_bytes")
        self._no_room = registry.counter("gateway_buffer_refusals_total")
        self._listeners: list[asyncio.Server] = []
        self._registry = registry
        self._open = registry.gauge("gateway_connections")
        self.received = registry.counter("gateway_received_bytes_total").cells
        self.sent = registry.counter("gateway_sent_bytes_total").cells
        self._accepted = registry.counter("gateway_connections_accepted_total")
        self.configure(config)
        self._tick()

    def configure(self, config: schema.Server) -> None:
        """Limits and timeouts for the connections and requests to come."""
        timeouts, limits = config.timeouts, config.limits
        self.patience = (timeouts.idle or inf, timeouts.header or inf, timeouts.body or inf)
        # However many share the room, each has enough for one body of any size that is allowed.
        room = max(-(-limits.max_buffered_bytes // self._workers), limits.max_body_bytes)
        self._buffers.limit = room if limits.max_buffered_bytes else inf
        self.reader_limits = ReaderLimits(
            limits.max_body_bytes, limits.max_header_bytes, limits.max_headers, buffers=self._buffers
        )
        self._handshake = timeouts.header or None
        self._max_connections = -(-limits.max_connections // self._workers)

    async def start(self, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Accept on ``sockets``, which listen already or are bound."""
        for sock in sockets:
            create = self.loop.create_unix_server if sock.family == socket.AF_UNIX else self.loop.create_server
            listener = await create(
                lambda: ServerConnection(self),
                sock=sock,
                ssl=tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=self._handshake if tls else None,
            )
            self._listeners.append(listener)

    def stop_accepting(self) -> None:
        """Close the listening sockets of this worker; connections go on."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def drain(self, timeout: float) -> bool:
        """Finish what is in flight within ``timeout`` seconds, then close everything. True: nothing was cut short."""
        self.draining = True
        await asyncio.sleep(min(TICK, timeout))  # in which whoever waits in the backlog is let in
        self.stop_accepting()
        began = self.loop.time()
        while self.connections and self.loop.time() < began + timeout:
            if self.loop.time() >= began + GRACE:
                self._close_idle()
            await asyncio.sleep(TICK)
        clean = not self.connections
        for connection in list(self.connections):
            connection.abort()
        return clean

    def _close_idle(self) -> None:
        for connection in list(self.connections):
            connection.close_if_idle()

    # Connections report here.

    def opened(self, connection: ServerConnection) -> None:
        self.connections.add(connection)
        self._open.add(1.0)
        self._accepted.add(1.0)
        if 0 < self._max_connections < len(self.connections):
            connection.turn_away(Overloaded("too many connections", retry_after=1))

    def closed(self, connection: ServerConnection) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self._open.add(-1.0)

    def refused(self, refusal: Refusal) -> None:
        error = refusal.error
        self.note(refusal)
        self._registry.counter("gateway_bad_requests_total", code=str(error.status)).add(1.0)
        log.info("refused a client: %d %s: %s", error.status, error.code, error.detail)

    def _tick(self) -> None:
        """Sweep the deadlines: one timer for all connections is cheaper than a timer for each."""
        self.loop.call_later(TICK, self._tick)
        self.now = now = self.loop.time()
        self.date_field = b"date: " + http_date(time.time()) + b"\r\n"
        self._publish()
        for connection in [one for one in self.connections if one.deadline < now]:
            connection.expire()

    def _publish(self) -> None:
        buffers = self._buffers
        self._buffered.set(buffers.used)
        if buffers.refused:
            self._no_room.add(buffers.refused)
            buffers.refused = 0
