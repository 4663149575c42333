"""Access: what became of each request, for the access log. None of these layers is in a stack that keeps no records.

The rule: whatever can wait until the answer has gone out, does: what is noted here is put into words by the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter

from gateway.errors import ClientClosed, ConnectionCut, GatewayError, InternalError, UpstreamReset
from gateway.http.arrival import Refusal
from gateway.message import Headers, Record, Request, Response
from gateway.service import Layer, Service
from gateway.stream import Stream
from gateway.telemetry.lines import Entry
from gateway.telemetry.metrics import Histogram, Registry

Clock = Callable[[], float]
Note = Callable[[Entry], None]
"""Takes what is known of a request that has ended."""

_NOTHING: Headers = []


class Access:
    """Outermost of all: gives each request its record, and notes it at the end.

    ``overhead``: by graph, the time that requests took and no backend was being called.
    """

    def __init__(
        self, inner: Service, note: Note | None, overhead: Mapping[str, Histogram], clock: Clock = perf_counter
    ) -> None:
        self.inner = inner
        self._note = note
        self._overhead = overhead
        self._clock = clock

    async def __call__(self, request: Request, /) -> Response:
        inner, clock = self.inner, self._clock  # it is dear in Python 3.11 to call what an attribute holds
        record = request.record = Record()
        # As the client sent them: layers replace both. A head that is known has no traceparent (http/heads.py).
        target, headers = request.target, request.headers if request.encoded is None else _NOTHING
        started = clock()
        try:
            response = await inner(request)
        except BaseException as error:
            status, record.failure = _failure(error)
            self._end(request, record, target, headers, started, status, 0)
            raise
        if response.stream is None:
            self._end(request, record, target, headers, started, response.status, len(response.body))
        else:
            end = partial(self._end, request, record, target, headers, started)
            response.stream.when_ended(partial(_streamed, end, record, response.status, response.stream))
        return response

    def _end(
        self, request: Request, record: Record, target: bytes, headers: Headers, started: float, status: int, sent: int
    ) -> None:
        clock, note = self._clock, self._note
        seconds = clock() - started
        overhead = self._overhead.get(record.graph)
        if overhead is not None:
            overhead.observe(seconds - record.upstream)
        if note is not None:
            note(
                Entry(
                    started,
                    seconds,
                    request.method,
                    target,
                    headers,
                    request.minor,
                    request.id,
                    request.peer,
                    request.route,
                    record,
                    len(request.body),
                    status,
                    sent,
                )
            )


def _streamed(
    end: Callable[[int, int], None], record: Record, status: int, stream: Stream, error: GatewayError | None
) -> None:
    """A stream is what it came to, not what its head promised."""
    if error is not None:
        status, record.failure = _failure(error)
    end(status, stream.passed)


def _failure(error: BaseException) -> tuple[int, str]:
    """Status and code of a request that was never answered."""
    if isinstance(error, GatewayError):
        return error.status, error.code
    if isinstance(error, asyncio.CancelledError) and error.args == (ConnectionCut.code,):
        return ConnectionCut.status, ConnectionCut.code
    kind = ClientClosed if isinstance(error, asyncio.CancelledError | GeneratorExit) else InternalError
    return kind.status, kind.code


class Route:
    """At the edge of a graph: the request is the graph's."""

    def __init__(self, inner: Service, graph: str) -> None:
        self.inner = inner
        self._graph = graph

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        inner = self.inner
        if request.record is not None:
            request.record.graph = self._graph
        return inner(request)


class Upstream:
    """Around a backend: the time in which at least one is being called, the calls, and how they fail."""

    def __init__(self, inner: Service, clock: Clock = perf_counter) -> None:
        self.inner = inner
        self._clock = clock

    async def __call__(self, request: Request, /) -> Response:
        inner, clock, record = self.inner, self._clock, request.record
        if record is None:
            return await inner(request)
        record.attempts += 1
        if not record.calling:
            record.since = clock()
        record.calling += 1
        try:
            response = await inner(request)
        except BaseException as error:
            self._ended(record, error)
            raise
        if response.stream is not None:
            response.stream.when_ended(partial(self._ended, record))
            return response
        record.calling = calling = record.calling - 1
        if not calling:
            record.upstream += clock() - record.since
        return response

    def _ended(self, record: Record, error: BaseException | None) -> None:
        if isinstance(error, GatewayError):
            record.failure = error.code
            record.reset = isinstance(error, UpstreamReset) and error.abrupt
        record.calling -= 1
        if not record.calling:
            record.upstream += self._clock() - record.since


def access(note: Note | None, registry: Registry, graphs: Mapping[str, object]) -> Layer:
    """``note`` gets every request; None: nothing but the overhead of ``graphs`` is wanted."""
    overhead = {name: registry.duration("gateway_overhead_seconds", graph=name) for name in graphs}
    return lambda inner: Access(inner, note, overhead)


def refused(note: Note, clock: Clock = perf_counter) -> Callable[[Refusal], None]:
    """Notes clients that were refused before there was a request."""

    def noted(refusal: Refusal) -> None:
        error = refusal.error
        record = Record(failure=error.code)
        asked = refusal.method, refusal.target, _NOTHING, refusal.minor
        note(Entry(clock(), 0.0, *asked, b"", refusal.peer, [], record, 0, error.status, refusal.sent))

    return noted


def route(graph: str) -> Layer:
    return lambda inner: Route(inner, graph)
