"""One connection to a backend: one request at a time, one answer each.

The rule: a connection goes back to its pool only when its answer ended exactly where it should, so that no answer can
ever reach the wrong request. Only the connection gives up on an answer; whoever waits for it just drops the future.
An answer that may stream is handed out as soon as its head is there; from then on only silence ends it early.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, cast

from gateway.errors import GatewayError, UpstreamReset, UpstreamTimeout
from gateway.message import Request, Response
from gateway.stream import Stream

from .responses import ResponseReader
from .wire import field_lines

if TYPE_CHECKING:
    from .pool import Pool

_LARGE = 64 << 10
_BODILESS = frozenset((b"GET", b"HEAD", b"OPTIONS", b"DELETE"))
"""Methods that need not say that they have no body (RFC 9110 section 8.6)."""


class ClientConnection(asyncio.Protocol):
    """Sends one request after the other to one backend."""

    __slots__ = (
        "_paused",
        "_pool",
        "_reader",
        "_request",
        "_resendable",
        "_stream",
        "_transport",
        "_waiter",
        "deadline",
        "idle_since",
    )

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._reader = ResponseReader(pool.max_body, pool.heads, self._may_stream, pool.buffers)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._request: Request | None = None
        self._resendable = False
        self._paused = False
        self._stream: Stream | None = None
        self.deadline = 0.0
        self.idle_since = 0.0

    def __repr__(self) -> str:
        busy = "streaming" if self._stream is not None else "busy" if self._waiter is not None else "idle"
        state = "closed" if self._transport is None else busy
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
            self._pass_on(data)
            return
        try:
            self._reader.feed(data)
        except GatewayError as error:
            self._fail(error)
            return
        if self._reader.response is not None:
            self._complete(self._reader.response)
        elif self._reader.passing:
            self._begin()
        elif self._reader.arriving and self._request is not None:
            self.deadline = self._request.deadline  # the one for its first byte is met

    def eof_received(self) -> None:
        # The only honest end of a body that lasts until the end: a reset does not come by here, nor does TLS that was
        # cut off instead of closed (RFC 9112 section 9.8).
        self._reader.end()
        if self._stream is not None:
            self._hand_on(self._stream)
        if self._stream is not None:
            self._fail(self._reset())
        elif self._waiter is None:
            self._pool.forget(self)
        elif self._reader.response is not None:
            self._complete(self._reader.response)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._pool.lost(self)
        self._reader.close()
        if self._waiter is not None and self._request is not None and self._resendable and not self._reader.started:
            waiter, request = self._waiter, self._request
            self._waiter = self._request = None
            if not waiter.done():
                self._pool.resend(request, waiter)
        else:
            self._fail(self._reset(error))

    def _reset(self, cause: Exception | None = None) -> UpstreamReset:
        error = UpstreamReset(f"{self._pool.origin} closed the connection before its answer was complete")
        error.abrupt = isinstance(cause, ConnectionError)
        return error

    # The source of a stream.

    def pause(self) -> None:
        """Read no more, so that the backend stops too; as long as that lasts, nobody can blame it for silence."""
        self.deadline = inf
        self._pause()

    def resume(self) -> None:
        self.deadline = self._pool.silent_until()
        self._read_on()

    def cancel(self) -> None:
        self._stream = None
        self._drop()

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _may_stream(self) -> bool:
        return self._request is not None and self._request.streams

    def _begin(self) -> None:
        """Hand out the head of an answer; nothing more is read until somebody takes what follows."""
        waiter, self._waiter = self._waiter, None
        request, self._request = self._request, None
        if waiter is None or request is None or waiter.done():
            self._drop()
            return
        self.deadline = min(request.deadline, self._pool.silent_until())  # for somebody to take it
        self._stream = stream = Stream(self, self._reader.length)
        response = self._reader.begun()
        response.stream = stream
        if piece := self._reader.take():
            stream.chunk(piece)
        self._pause()
        waiter.set_result(response)

    def _pass_on(self, data: bytes) -> None:
        stream = self._stream
        if stream is None:
            self._drop()  # nobody asked
            return
        if self.deadline < inf:  # else no silence is too long, or it is paused, and TLS had this already
            self.deadline = self._pool.silent_until()
        try:
            self._reader.feed(data)
        except GatewayError as error:
            self._fail(error)
        else:
            self._hand_on(stream)

    def _hand_on(self, stream: Stream) -> None:
        """What has come of a body: once for each read, however many chunks it brought."""
        response = self._reader.response
        piece = self._reader.take() if response is None else response.body
        if piece:
            stream.chunk(piece)
        if response is not None and self._stream is not None:  # else the piece made somebody give up
            self._stream = None
            self._read_on()  # for the next answer; the client may have stopped this one in its last piece
            self._complete(response)
            stream.end()

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
        stream, self._stream = self._stream, None
        self._request = None
        self._drop()
        if stream is not None:
            stream.fail(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _drop(self) -> None:
        self._pool.forget(self)
        if self._transport is not None:
            self._transport.abort()
