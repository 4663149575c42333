"""One connection to a backend: one request at a time, one answer each.

The rule: a connection goes back to its pool only when its answer ended exactly where it should, so that no answer can
ever reach the wrong request. Only the connection gives up on an answer; whoever waits for it just drops the future.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from gateway.errors import GatewayError, UpstreamReset, UpstreamTimeout
from gateway.message import Request, Response

from .responses import ResponseReader
from .wire import field_lines

if TYPE_CHECKING:
    from .pool import Pool

_LARGE = 64 << 10
_BODILESS = frozenset((b"GET", b"HEAD", b"OPTIONS", b"DELETE"))
"""Methods that need not say that they have no body (RFC 9110 section 8.6)."""


class ClientConnection(asyncio.Protocol):
    """Sends one request after the other to one backend."""

    __slots__ = ("_pool", "_reader", "_request", "_resendable", "_transport", "_waiter", "deadline", "idle_since")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._reader = ResponseReader(pool.max_body, pool.heads)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._request: Request | None = None
        self._resendable = False
        self.deadline = 0.0
        self.idle_since = 0.0

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "idle" if self._waiter is None else "busy"
        return f"<ClientConnection {self._pool.origin} {state}>"

    def send(self, request: Request, waiter: asyncio.Future[Response], *, resendable: bool) -> None:
        """Write ``request``; ``waiter`` gets its answer, or the GatewayError instead of one.

        ``resendable``: the connection was idle before, so the backend may be closing it just now; if nothing of an
        answer was seen by then, the request is sent once more, on a fresh one.
        """
        transport = self._transport
        assert transport is not None
        assert self._waiter is None
        self._waiter = waiter
        self._request = request
        self._resendable = resendable
        self.deadline = request.deadline
        method, body = request.method, request.body
        self._reader.expect(method == b"HEAD")
        length = b"" if not body and method in _BODILESS else b"content-length: %d\r\n" % len(body)
        head = (method, b" ", request.target, self._pool.host_field, field_lines(request), length, b"\r\n")
        if len(body) < _LARGE:
            transport.write(b"".join((*head, body)))
        else:
            transport.writelines((b"".join(head), body))

    @property
    def abandoned(self) -> bool:
        """True when nobody waits for the answer any more."""
        return self._waiter is not None and self._waiter.done()

    def expire(self) -> None:
        """The deadline has passed, or the caller has gone: give up, and give up the connection with it."""
        self._fail(UpstreamTimeout(f"no answer from {self._pool.origin} in time"))

    def close(self) -> None:
        """Close; call it on an idle connection only."""
        if self._transport is not None:
            self._transport.close()

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self._drop()  # nobody asked
            return
        try:
            self._reader.feed(data)
        except GatewayError as error:
            self._fail(error)
            return
        if self._reader.response is not None:
            self._complete(self._reader.response)

    def eof_received(self) -> None:
        # The only honest end of a body that lasts until the end: a reset does not come by here, nor does TLS that was
        # cut off instead of closed (RFC 9112 section 9.8).
        self._reader.end()
        if self._waiter is None:
            self._pool.forget(self)
        elif self._reader.response is not None:
            self._complete(self._reader.response)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._pool.lost(self)
        self._reader.close()
        waiter, request = self._waiter, self._request
        self._waiter = self._request = None
        if waiter is None or waiter.done() or request is None:
            return
        if self._resendable and not self._reader.started:
            self._pool.resend(request, waiter)
        else:
            waiter.set_exception(
                UpstreamReset(f"{self._pool.origin} closed the connection before its answer was complete")
            )

    # The two ends of a call.

    def _complete(self, response: Response) -> None:
        waiter, self._waiter = self._waiter, None
        self._request = None
        transport = self._transport
        if self._reader.persistent and transport is not None and not transport.get_write_buffer_size():
            self._pool.release(self)
        else:
            self._drop()
        if waiter is not None and not waiter.done():
            waiter.set_result(response)

    def _fail(self, error: GatewayError) -> None:
        waiter, self._waiter = self._waiter, None
        self._request = None
        self._drop()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _drop(self) -> None:
        self._pool.forget(self)
        if self._transport is not None:
            self._transport.abort()
