"""One client connection: requests in, answers out in the same order, one at a time.

The rule: whatever the client does, the connection holds no more than one answer, one request being read, and what one
read from the socket brought; everything it waits for has a deadline, which the Server sweeps. Once a client has sent
more than the request in hand it is not read from, so its going away is noticed only when its answer is written.
"""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import TYPE_CHECKING

from gateway.errors import Abandoned, ClientClosed, ConnectionCut, GatewayError, RequestTimeout
from gateway.message import Response
from gateway.problem import problem
from gateway.stream import Stream

from .answer import connection, known_head, length, whole_head
from .arrival import Arrival, Refusal
from .delivery import Delivery
from .drive import Drive
from .flow import ANSWERING, HEAD, IDLE, Flow
from .flow import BODY as ARRIVING
from .halfclose import Probe
from .requests import BODY, RequestReader
from .wire import CONTINUE

if TYPE_CHECKING:
    from .listener import Server

log = logging.getLogger("gateway.http")

_LARGE = 64 << 10


class ServerConnection(Flow):
    """Reads requests from one client and answers them, in order."""

    __slots__ = (
        "_answering",
        "_call",
        "_delivery",
        "_head_only",
        "_minor",
        "_persistent",
        "_phase",
        "_reader",
        "_refusal",
    )

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._reader = RequestReader(server.reader_limits, server.loop.time)
        self._call = Drive(server.loop, self._answered)
        self._delivery: Delivery | None = None
        self._refusal: GatewayError | None = None
        self._answering = False
        self._persistent = True
        self._head_only = False
        self._minor = 1
        self._phase = IDLE

    def __repr__(self) -> str:
        state = "finished" if self._finished else "answering" if self._answering else "reading"
        return f"<ServerConnection {state}{' clogged' if self._clogged else ''}{' eof' if self._eof else ''}>"

    @property
    def idle(self) -> bool:
        """True when no request is in progress in either direction."""
        return not (self._answering or self._clogged or self._reader.started or self._finished)

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._finished or self._refusal is not None:
            return
        self._server.received[0] += len(data)
        self._feed(data)
        if not self._answering:
            self._next()
        elif self._reading:
            # What is pipelined behind the request in hand waits in the kernel from here on.
            self._pause()

    def _feed(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except GatewayError as error:
            self._refusal = error

    def eof_received(self) -> bool:
        transport = self._transport
        self._eof = True
        if self._finished or transport is None:
            return False
        if self._delivery is not None:
            transport.abort()  # it has left; who only shuts down its side does so before the answer begins
            return False
        if not (self._answering or self._clogged) or not transport.can_write_eof():
            self._finish()  # TLS has no half-close here
            return False
        if self._minor:
            Probe(transport, self._server.loop, self._silent)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._server.closed(self)
        self._call.cancel(ConnectionCut.code if self._cut else None)
        if self._delivery is not None:
            self._delivery.leave(cut=self._cut)
            self._delivery = None
        # Nothing may be left that needs the garbage collector: it looks seldom, and connections can come and go fast.
        del self._call
        self._refusal = None
        self._reader.close()

    def pause_writing(self) -> None:
        self._clog()
        if self._delivery is not None:
            self._delivery.hold()  # and the client is still read from, to see when it goes
        else:
            self._pause()

    def resume_writing(self) -> None:
        self._unclog()
        if self._delivery is not None:
            self.deadline = inf
            self._delivery.flow()
        if not self._answering:
            self._next()

    def _silent(self) -> bool:
        """True while the client waits for the first byte of an answer."""
        return self._answering and self._delivery is None and self._transport is not None

    # One request after the other.

    def _next(self) -> None:
        """Answer what has arrived; with nothing there, refuse, close or read on."""
        if self._clogged or self._finished or self._transport is None:
            return
        reader = self._reader
        if not reader.arrived and reader.behind and self._refusal is None:
            self._feed(b"")
        if reader.arrived:
            self._answer(reader.arrived.pop(0))
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif self._eof:
            self._finish()
        else:
            self._read_on()

    def _answer(self, arrival: Arrival) -> None:
        request = arrival.request
        self._persistent = arrival.persistent
        self._minor = arrival.minor
        request.peer = self._peer
        self._answering = True
        self._head_only = request.method == b"HEAD"
        self._phase = ANSWERING
        self.deadline = inf
        self._call.begin(self._server.app(request))
        if self._reader.behind:
            self._pause()

    def _answered(self, response: Response | None, error: BaseException | None) -> None:
        if self._transport is None or self._finished:
            if response is not None and response.stream is not None:
                response.stream.cancel(ClientClosed("the client left before its answer began"))
            return
        if response is not None:
            if response.stream is None:
                self._write(response)
            else:
                self._deliver(response, response.stream)
        elif isinstance(error, Abandoned):
            self._finish()
        else:
            if not isinstance(error, asyncio.CancelledError):
                log.error("a request ended without an answer", exc_info=error)
            self._transport.abort()

    def _write(self, response: Response) -> None:
        transport = self._transport
        assert transport is not None
        self._answering = False
        closing = not self._persistent or self._server.draining
        head = b"" if closing or self._head_only or not self._minor else known_head(response, self._server.date_field)
        if not head:
            head = self._head(response, length(response, self._head_only), closing)
        size = 0 if self._head_only else len(response.body)
        self._server.sent[0] += len(head) + size
        if not size:
            transport.write(head)
        elif size < _LARGE:
            transport.write(head + response.body)
        else:
            transport.writelines((head, response.body))
        if closing:
            self._finish()
        else:
            self._next()

    def _deliver(self, response: Response, stream: Stream) -> None:
        """Write the head of an answer that streams; from here on the stream and the client set the pace."""
        transport = self._transport
        assert transport is not None
        delivery = Delivery(stream, transport, self, self._minor)
        closing = not self._persistent or self._server.draining or not delivery.framing
        self._persistent = not closing
        head = self._head(response, delivery.framing, closing)
        if self._head_only:
            stream.cancel()
            transport.write(head)
            self.wrote(len(head))
            self.delivered(whole=True)
            return
        self._delivery = delivery
        delivery.begin(head)
        if not self._clogged:
            delivery.flow()

    def wrote(self, size: int) -> None:
        self._server.sent[0] += size

    def delivered(self, *, whole: bool) -> None:
        """A stream has ended, or has broken off and was left so that the client can see it."""
        transport = self._transport
        assert transport is not None
        self._delivery = None
        self._answering = False
        if self._clogged:
            self._pause()
        if transport.is_closing():
            return
        if whole and self._persistent:
            self._next()
        else:
            self._finish()

    def _head(self, response: Response, framing: bytes, closing: bool) -> bytes:
        return whole_head(response, framing, connection(self._minor, closing), self._server.date_field)

    def _read_on(self) -> None:
        """Wait for the rest of a request, or for the next one."""
        reader, server = self._reader, self._server
        if reader.expects and self._transport is not None:
            reader.expects = False
            self._transport.write(CONTINUE)
        phase = ARRIVING if reader.state == BODY else HEAD if reader.started else IDLE
        if phase != self._phase:  # a phase has one deadline, however often a byte trickles in
            self._phase = phase
            self.deadline = server.now + server.patience[phase]
        if not self._reading:
            self._resume()

    # The end.

    def _refuse(self, error: GatewayError) -> None:
        answer = problem(error)
        self._server.refused(Refusal(error, self._peer, *self._reader.asked, self._minor, len(answer.body)))
        self._persistent = False
        self._head_only = False
        self._write(answer)

    def _finish(self) -> None:
        """Close; first let a client that goes on sending see its answer."""
        transport = self._transport
        assert transport is not None
        self._finished = True
        self._call.cancel()
        unread = self._refusal or self._reader.behind or self._reader.started or not self._reading
        self._end(transport, sending=bool(unread) and not self._eof)

    def close_if_idle(self) -> None:
        """Close unless a request is in progress; for the drain."""
        if self.idle and self._transport is not None:
            self._finish()

    def turn_away(self, error: GatewayError) -> None:
        """Answer ``error`` before anything was read, and close."""
        self._refusal = error
        self._next()

    def expire(self) -> None:
        """The deadline has passed."""
        transport = self._transport
        if transport is None:
            return
        if self._clogged or (self._finished and transport.get_write_buffer_size()):
            self._stuck(transport)
        elif self._finished:
            transport.abort()
        elif self._reader.started:
            self._refusal = RequestTimeout("the request did not arrive in time")
            self._next()
        else:
            self._finish()
