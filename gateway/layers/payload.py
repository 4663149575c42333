"""Payload: takes a snapshot of what passes, and waits for nothing.

Of an answer that streams it copies the beginning (``_follow``); of whole bodies it keeps no more than a reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import time

from gateway.errors import ClientClosed, GatewayError, InternalError
from gateway.message import Request, Response
from gateway.payload.event import NOTHING, Kind, Snapshot
from gateway.payload.recorder import Recorder
from gateway.payload.sampling import Sampled
from gateway.problem import problem
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
        # What of the recorder every request needs.
        self._place, self._number, self._head = recorder.place, recorder.number, recorder.head
        self._at_once = recorder.at_once

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        if self._sampled is not None and not self._sampled(request.id):
            return self.inner(request)
        # By position, here and below: keywords would be a good part of what an event costs.
        body = request.body
        size = len(body)
        arrival = Snapshot(
            self._place,
            "request",
            self._number(),
            self._clock(),
            request.id,
            self._head(request),
            NOTHING,
            body if size <= self._at_once else body[: self._at_once],
            size,
        )
        if self._requests:
            self._put(arrival)
        return self._answered(request, arrival) if self._answers else self.inner(request)

    async def _answered(self, request: Request, arrival: Snapshot) -> Response:
        try:
            response = await self.inner(request)
        except BaseException as error:
            self._failed(request, arrival, error)
            raise
        if response.stream is None:
            self._note("response", request, arrival, response, response.body, len(response.body))
        else:
            self._follow(request, arrival, response, response.stream)
        return response

    def _note(
        self, kind: Kind, request: Request, arrival: Snapshot, answer: Response, body: bytes, size: int, code: str = ""
    ) -> None:
        now = self._clock()
        self._put(
            Snapshot(
                arrival.place,
                kind,
                arrival.number,
                now,
                arrival.request_id,
                arrival.asked,
                self._head(answer),
                body if size <= self._at_once else body[: self._at_once],
                size,
                answer.status,
                b", ".join(request.route),
                now - arrival.time,
                code,
            )
        )

    def _follow(self, request: Request, arrival: Snapshot, response: Response, stream: Stream) -> None:
        """Keep the beginning of a body that streams, as much as an event may hold; the event is made at its end."""
        most, kept = self._recorder.most, bytearray()

        def keep(data: bytes) -> None:
            if len(kept) < most:
                kept.extend(data[: most - len(kept)])

        def ended(error: GatewayError | None) -> None:
            if error is None:
                self._note("response", request, arrival, response, bytes(kept), stream.passed)
            else:
                self._failed(request, arrival, error)

        stream.tap(keep)
        stream.when_ended(ended)

    def _failed(self, request: Request, arrival: Snapshot, error: BaseException) -> None:
        if not isinstance(error, GatewayError):
            gone = isinstance(error, asyncio.CancelledError)
            error = ClientClosed("the client left") if gone else InternalError("the gateway failed; its log says why")
        error.at(request.at).graph = self._recorder.graph  # as the edge will have it, later than we are asked
        answer = problem(error, request.id)
        self._note("error", request, arrival, answer, answer.body, len(answer.body), error.code)


def payload(
    put: Put, recorder: Recorder, mode: str, sampled: Sampled | None, clock: Callable[[], float] = time
) -> Layer:
    """``put`` takes a snapshot at once; ``clock`` is Unix time."""
    return lambda inner: Payload(inner, put, recorder, mode, sampled, clock)
