"""A Service over the connections to one origin, and the Sweeper that keeps every worker's deadlines.

``Pool.__call__`` hands out a Future: an idle connection needs no task. The last one used is used first, so that surplus
ones grow old and are closed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from math import inf

from gateway.errors import DeadlineExceeded, GatewayError, UpstreamConnectFailure, UpstreamOverflow, UpstreamTimeout
from gateway.message import Request, Response
from gateway.service import spawn
from gateway.telemetry.metrics import Registry

from .buffers import Buffers
from .client import ClientConnection
from .heads import Heads, ResponseHead
from .origin import Origin

TICK = 0.01
"""Seconds between two sweeps of the calls in flight; the precision of their deadlines."""

IDLE_TIMEOUT = 60.0
"""Seconds that an unused connection to a backend is kept."""

REACH_TIMEOUT = 1.0
"""Seconds in which a backend must accept a connection to count as reachable; a no is believed for as long."""


class Sweeper:
    """One timer for all calls of a worker; it rests while there are none."""

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: Buffers | None = None) -> None:
        self.loop = loop
        self.pools: set[Pool] = set()
        self.heads: Heads[ResponseHead] = Heads()
        """Known heads of answers, from whichever backend: one bound for a worker, however many pools it has."""
        self.buffers = buffers or Buffers()
        """Room for the answers that are kept until they are whole, in common with what clients send."""
        self.now = loop.time()
        self.armed = False
        self._prune()

    def arm(self) -> None:
        """Start ticking; call it when a request is sent."""
        self.armed = True
        self.loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        self.now = now = self.loop.time()
        busy = [pool for pool in self.pools if pool.busy]
        if busy:
            self.arm()
        else:
            self.armed = False
        for pool in busy:
            for late in [one for one in pool.busy if one.deadline <= now or one.abandoned]:
                late.expire()

    def _prune(self) -> None:
        self.loop.call_later(IDLE_TIMEOUT / 10, self._prune)
        self.now = now = self.loop.time()
        for pool in self.pools:
            for old in [one for one in pool.idle if now - one.idle_since > IDLE_TIMEOUT]:
                pool.forget(old)
                old.close()


class Pool:
    """Sends requests to one origin over kept connections. It opens one whenever none is idle."""

    def __init__(
        self,
        origin: Origin,
        sweeper: Sweeper,
        registry: Registry,
        name: str,
        *,
        address: str = "",
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        max_body: int = 64 << 20,
    ) -> None:
        """``address``: where to connect in place of the origin's host, which remains the name in Host and in TLS."""
        self.origin = origin
        self._address = address or origin.host
        self.max_body = max_body
        self.heads = sweeper.heads
        self.buffers = sweeper.buffers
        self._name = name
        self.connect_timeout = 5.0
        self.max_connections = 0
        """Open or being opened; 0: any number."""
        self._opening = 0
        self.first_byte = 0.0
        """Seconds from a request to the head of its answer; 0: any number."""
        self.silence = inf
        """Seconds between two reads of a body that streams."""
        self.idle: dict[ClientConnection, None] = {}
        self.busy: set[ClientConnection] = set()
        self.host_field = b" HTTP/1.1\r\nhost: " + origin.authority + b"\r\n"
        self._sweeper = sweeper
        self._tls = tls
        self._server_name = (server_name or origin.host) if tls else None
        self._closed = False
        self._unreachable_until = 0.0
        self._reaching: asyncio.Task[bool] | None = None
        self._open = registry.gauge("gateway_upstream_connections", backend=name)
        self._opened = registry.counter("gateway_upstream_connections_opened_total", backend=name)
        self._failures = registry.counter("gateway_upstream_connect_failures_total", backend=name)
        self._stale = registry.counter("gateway_upstream_stale_retries_total", backend=name)
        sweeper.pools.add(self)

    def __repr__(self) -> str:
        return f"<Pool {self.origin} busy={len(self.busy)} idle={len(self.idle)}>"

    def __call__(self, request: Request) -> Awaitable[Response]:
        if not self.idle:
            return spawn(self._connect_and_send(request), awaited=True)
        connection, _ = self.idle.popitem()
        waiter: asyncio.Future[Response] = self._sweeper.loop.create_future()
        self._send(connection, request, waiter, idle=True)
        return waiter

    async def _connect_and_send(self, request: Request) -> Response:
        connection = await self._connect(request.deadline)
        waiter: asyncio.Future[Response] = self._sweeper.loop.create_future()
        self._send(connection, request, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and (answer := waiter.result()).stream is not None:
                answer.stream.cancel()  # it came in the same moment, and nobody will ever take it
            raise
        finally:
            del waiter  # an error that it raises knows this frame, which would know the error through it

    def _send(
        self, connection: ClientConnection, request: Request, waiter: asyncio.Future[Response], *, idle: bool = False
    ) -> None:
        if not self._sweeper.armed:  # not before: it may have gone to rest while the connection was made
            self._sweeper.arm()
        self.busy.add(connection)
        connection.send(request, waiter, resendable=idle)
        if self.first_byte:
            connection.deadline = min(request.deadline, self._sweeper.loop.time() + self.first_byte)

    def resend(self, request: Request, waiter: asyncio.Future[Response]) -> None:
        """Send once more, on a fresh connection, what went out on one that the backend was just closing."""
        self._stale.add(1.0)
        spawn(self._resend(request, waiter), "resend")

    async def _resend(self, request: Request, waiter: asyncio.Future[Response]) -> None:
        try:
            connection = await self._connect(request.deadline)
        except GatewayError as error:
            if not waiter.done():
                waiter.set_exception(error)
            return
        if waiter.done():
            self.release(connection)
            return
        self._send(connection, request, waiter)

    async def _connect(self, deadline: float) -> ClientConnection:
        """A new connection. Raises UpstreamConnectFailure, or UpstreamTimeout if the caller's deadline comes first."""
        loop = self._sweeper.loop
        if 0 < self.max_connections <= self._opening + len(self.busy) + len(self.idle):
            raise UpstreamOverflow(f"{self.origin}: {self.max_connections} connections are open already", retry_after=1)
        patience = loop.time() + (self.connect_timeout or inf)
        limit = min(deadline, patience)
        if deadline <= loop.time():
            raise DeadlineExceeded("the deadline had passed before the call was made")
        self._opening += 1
        try:
            async with asyncio.timeout_at(limit if limit < inf else None):
                return await self._dial()
        except TimeoutError:
            self._failures.add(1.0)
            if deadline < patience:
                raise UpstreamTimeout(f"no connection to {self.origin} in time") from None
            detail = f"no connection to {self.origin} within {self.connect_timeout:g} s"
            raise UpstreamConnectFailure(detail, retry_after=1) from None
        except (OSError, ValueError) as error:  # ValueError: a name that no host can have
            self._failures.add(1.0)
            detail = f"connect to {self.origin} failed: {getattr(error, 'strerror', None) or error}"
            raise UpstreamConnectFailure(detail, retry_after=1) from None
        finally:
            self._opening -= 1

    async def _dial(self) -> ClientConnection:
        loop, origin = self._sweeper.loop, self.origin
        if origin.socket:
            _, connection = await loop.create_unix_connection(lambda: ClientConnection(self), origin.socket)
        else:
            _, connection = await loop.create_connection(
                lambda: ClientConnection(self),
                self._address,
                origin.port,
                ssl=self._tls,
                server_hostname=self._server_name,
            )
        return connection

    # Connections report here.

    def opened(self, connection: ClientConnection) -> None:
        self._open.add(1.0)
        self._opened.add(1.0)

    def release(self, connection: ClientConnection) -> None:
        """The connection is free for the next request."""
        if self._closed:
            self.forget(connection)
            connection.close()
        else:
            self.busy.discard(connection)
            connection.idle_since = self._sweeper.now
            self.idle[connection] = None

    def forget(self, connection: ClientConnection) -> None:
        """The connection is not to be used again."""
        self.busy.discard(connection)
        self.idle.pop(connection, None)
        if self._closed and not self.busy:
            self._sweeper.pools.discard(self)

    def lost(self, connection: ClientConnection) -> None:
        self.forget(connection)
        self._open.add(-1.0)

    def silent_until(self) -> float:
        """The loop time until which a stream may bring nothing, from now on."""
        return self._sweeper.now + self.silence

    # The whole pool.

    async def reachable(self) -> bool:
        """Whether the backend accepts connections; asks it only if no connection is open."""
        if self.idle or self.busy:
            return True
        if self._sweeper.loop.time() < self._unreachable_until:
            return False
        return await self.reach()

    async def reach(self) -> bool:
        """Whether the backend accepts a connection just now."""
        if self._reaching is None:
            self._reaching = spawn(self._reach(), f"reach {self.origin}")
        return await asyncio.shield(self._reaching)

    async def _reach(self) -> bool:
        loop = self._sweeper.loop
        try:
            self.release(await self._connect(loop.time() + REACH_TIMEOUT))
            return True
        except GatewayError:
            self._unreachable_until = loop.time() + REACH_TIMEOUT
            return False
        finally:
            self._reaching = None

    def describe(self) -> dict[str, object]:
        """The state of the pool, for ``/clusters``."""
        return {"backend": self._name, "url": str(self.origin), "active": len(self.busy), "idle": len(self.idle)}

    def close(self) -> None:
        """Close the idle connections now and the others as they become free."""
        self._closed = True
        if not self.busy:  # else it needs the sweeper until the last call has ended
            self._sweeper.pools.discard(self)
        for connection in list(self.idle):
            connection.close()
        self.idle.clear()
