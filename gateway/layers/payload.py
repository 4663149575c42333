"""Payload: takes a snapshot of what passes, and waits for nothing.

The one place where a copy of a streamed answer could be taken is ``_answered``; only whole bodies have one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import time

from gateway.errors import ClientClosed, GatewayError, InternalError
from gateway.layers.recover import RequestIds
from gateway.message import Headers, Request, Response
from gateway.payload.recorder import Recorder, Snapshot
from gateway.payload.sampling import Sampled
from gateway.service import Layer, Service
from gateway.stream import Stream

Put = Callable[[Snapshot], None]


class Payload:
    """Logs requests, answers and failures of ``inner``: those requests that are sampled, all for None."""

    def __init__(
        self,
        inner: Service,
        put: Put,
        recorder: Recorder,
        mode: str = "all",
        sampled: Sampled | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self.inner = inner
        self._put = put
        self._recorder = recorder
        self._requests = mode != "response"
        self._answers = mode != "request"
        self._sampled = sampled
        self._clock = clock
        self._new_id = RequestIds()

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        if self._sampled is not None and not self._sampled(request.id):
            return self.inner(request)
        exchange, now, headers = self._new_id(), self._clock(), request.headers
        if self._requests:
            recorder = self._recorder
            self._put(Snapshot(recorder, "request", exchange, now, request.id, headers, headers, request.body))
        return self._answered(request, exchange, now, headers) if self._answers else self.inner(request)

    async def _answered(self, request: Request, exchange: bytes, began: float, asked: Headers) -> Response:
        try:
            response = await self.inner(request)
        except BaseException as error:
            self._failed(request, exchange, began, asked, error)
            raise
        if response.stream is None:
            self._passed(request, response, exchange, began, asked, response.body)
        else:
            self._follow(request, response, response.stream, exchange, began, asked)
        return response

    def _passed(
        self,
        request: Request,
        response: Response,
        exchange: bytes,
        began: float,
        asked: Headers,
        body: bytes,
        size: int = 0,
    ) -> None:
        now, status, route = self._clock(), response.status, b", ".join(request.route)
        taken = Snapshot(
            *(self._recorder, "response", exchange, now, request.id, asked),
            *(response.headers, body, status, route, now - began),
        )
        taken.size = size
        self._put(taken)

    def _follow(
        self, request: Request, response: Response, stream: Stream, exchange: bytes, began: float, asked: Headers
    ) -> None:
        """Keep the beginning of a body that streams, as much as an event may hold; the event is made at its end."""
        most, kept = self._recorder.most, bytearray()

        def keep(data: bytes) -> None:
            if len(kept) < most:
                kept.extend(data[: most - len(kept)])

        def ended(error: GatewayError | None) -> None:
            if error is None:
                self._passed(request, response, exchange, began, asked, bytes(kept), stream.passed)
            else:
                self._failed(request, exchange, began, asked, error)

        stream.tap(keep)
        stream.when_ended(ended)

    def _failed(self, request: Request, exchange: bytes, began: float, asked: Headers, error: BaseException) -> None:
        if not isinstance(error, GatewayError):
            gone = isinstance(error, asyncio.CancelledError)
            error = ClientClosed("the client left") if gone else InternalError("the gateway failed; its log says why")
        now, route = self._clock(), b", ".join(request.route)
        self._put(
            Snapshot(
                *(self._recorder, "error", exchange, now, request.id, asked, []),
                *(b"", error.status, route, now - began, error.at(request.at)),
            )
        )


def payload(
    put: Put, recorder: Recorder, mode: str, sampled: Sampled | None, clock: Callable[[], float] = time
) -> Layer:
    """``put`` takes a snapshot at once; ``clock`` is Unix time."""
    return lambda inner: Payload(inner, put, recorder, mode, sampled, clock)
