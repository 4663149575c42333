"""Access: the record of each request, for the access log. Nobody keeps one where nothing is made of it.

The rule: whatever can wait until the answer has gone out, does: what is noted here is put into words by the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from time import perf_counter

from gateway.errors import ClientClosed, ConnectionCut, GatewayError, InternalError
from gateway.http.arrival import Refusal
from gateway.message import Headers, Record, Request, Response
from gateway.service import Layer, Service
from gateway.stream import Stream
from gateway.telemetry.metrics import Registry

Clock = Callable[[], float]
Note = Callable[[Record], None]
"""Takes the record of a request that has ended."""

_NOTHING: Headers = []


class Access:
    """Gives each request its record, and has it noted at the end."""

    def __init__(self, note: Note, clock: Clock = perf_counter) -> None:
        self._note = note
        self._clock = clock

    def begin(self, request: Request) -> None:
        """Keep a record of ``request``, which is as the client sent it but for its id."""
        clock = self._clock  # it is dear in Python 3.11 to call what an attribute holds
        request.record = Record(
            clock(),
            request.method,
            request.target,
            request.headers if request.encoded is None else _NOTHING,  # a head that is known has no traceparent
            request.minor,
            request.id,
            request.peer,
            request.route,
            len(request.body),
        )

    def answered(self, request: Request, response: Response) -> None:
        """It has this answer, whose body may have yet to come."""
        record, note, clock = request.record, self._note, self._clock
        if record is None:
            return
        record.status = response.status
        if response.stream is None:
            record.sent = len(response.body)
            record.seconds = clock() - record.started
            note(record)
        else:
            response.stream.when_ended(partial(self._streamed, record, response.stream))

    def lost(self, request: Request, error: BaseException) -> None:
        """It will never have an answer."""
        if request.record is not None:
            self._failed(request.record, error)

    def refused(self, refusal: Refusal) -> None:
        """A client was refused before there was a request."""
        record = Record(self._clock(), refusal.method, refusal.target, minor=refusal.minor, peer=refusal.peer)
        record.sent = refusal.sent
        self._failed(record, refusal.error)

    def _streamed(self, record: Record, stream: Stream, error: GatewayError | None) -> None:
        """A stream is what it came to, not what its head promised."""
        record.sent = stream.passed
        if error is not None:
            self._failed(record, error)
        else:
            self._end(record)

    def _failed(self, record: Record, error: BaseException) -> None:
        record.status, record.failure = _failure(error)
        self._end(record)

    def _end(self, record: Record) -> None:
        record.seconds = self._clock() - record.started
        self._note(record)


class Overhead:
    """Observes, by graph, the time that requests took and no backend was being called. Notes records in ``then``."""

    def __init__(self, registry: Registry, graphs: Iterable[str], then: Note | None = None) -> None:
        self._of = {name: registry.duration("gateway_overhead_seconds", graph=name) for name in graphs}
        self._then = then

    def __call__(self, record: Record) -> None:
        histogram = self._of.get(record.graph)
        if histogram is not None:
            histogram.observe(record.seconds - record.upstream)
        if self._then is not None:
            self._then(record)


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

    def __call__(self, request: Request) -> Awaitable[Response]:
        inner, record = self.inner, request.record
        if record is not None:
            record.graph = self._graph
        return inner(request)


def route(graph: str) -> Layer:
    return lambda inner: Route(inner, graph)
