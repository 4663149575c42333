"""Trace: a span for each request, node and attempt, where the request is sampled. Off, none of this is built.

Names and attributes: OpenTelemetry's semantic conventions for HTTP, and ``gateway.*`` for what is ours.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.http.origin import Origin
from gateway.message import Headers, Request, Response, header
from gateway.service import Layer, Service

from .attempt import count

if TYPE_CHECKING:
    from gateway.telemetry.tracing.span import Attributes, Span
    from gateway.telemetry.tracing.tracer import Tracer

Route = Callable[[bytes], str | None]
"""The path template of the API that a target belongs to; None: of none."""

_METHODS = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"QUERY")
)
_ID_LINE = rb"x-request-id: [^\r]*\r\n"
_TRACE_LINES = rb"(?:traceparent|b3|x-b3-[a-z]+): [^\r]*\r\n"
_SERVER_ERROR, _ANY_ERROR = 500, 400


class Trace:
    """At the edge: decides whether the request is traced, and spans all of it."""

    def __init__(self, inner: Service, tracer: Tracer, graph: str, scheme: str, route: Route) -> None:
        self.inner = inner
        self._begin = tracer.begin
        self._roots = tracer.roots
        self._root = tracer.root
        self._graph = graph
        self._scheme = scheme
        self._route = route

    def __call__(self, request: Request) -> Awaitable[Response]:
        inner = self.inner  # it is dear in Python 3.11 to call what an attribute holds
        if request.encoded is None:
            span = self._begin(request)
        elif (lines := next(self._roots)) is None:
            span = self._root(request)
        else:  # most requests, for a head that is known has nothing about traces in it (http/heads.py)
            request.stamp += lines
            return inner(request)
        return inner(request) if span is None else self._traced(request, span)

    async def _traced(self, request: Request, span: Span) -> Response:
        span.describe = partial(
            self._describe, request.method, request.target, request.headers, request.id, request.peer
        )
        if request.record is not None:
            request.record.trace_id = span.trace_id
        try:
            answer = await self.inner(request)
        except BaseException as error:
            if isinstance(error, GatewayError):
                span.attributes["http.response.status_code"] = error.status
            _failed(span, _SERVER_ERROR, error)
            raise
        _answered(span, answer, _SERVER_ERROR)
        return answer

    def _describe(
        self, method: bytes, target: bytes, headers: Headers, id: bytes, peer: bytes, span: Span
    ) -> Attributes:
        route = self._route(target) or self._graph
        span.name = f"{_name(method)} {route}"
        attributes = {
            **_method(method),
            "url.scheme": self._scheme,
            "url.path": target.partition(b"?")[0].decode("latin-1"),
            "http.route": route,
            "gateway.graph": self._graph,
            "gateway.request_id": id.decode("latin-1"),
        }
        if peer:
            attributes["client.address"] = attributes["network.peer.address"] = peer.decode()
        if agent := header(headers, b"user-agent"):
            attributes["user_agent.original"] = agent.decode("latin-1")
        return attributes


class TraceNode:
    """Around a node of a graph. What the node calls becomes part of its span."""

    def __init__(self, inner: Service, graph: str, node: str, kind: str) -> None:
        self.inner = inner
        self._name = f"node {node}"
        self._mark = f"{node}=".encode()
        self._ours: Attributes = {"gateway.graph": graph, "gateway.node": node, "gateway.type": kind}

    def __call__(self, request: Request) -> Awaitable[Response]:
        inner, above = self.inner, request.trace
        return inner(request) if above is None else self._traced(request, above)

    async def _traced(self, request: Request, above: Span) -> Response:
        span = request.trace = above.child(self._name, {})
        step, taken = request.at[1], len(request.route)
        try:
            answer = await self.inner(request)
            span.answered(answer.status, _SERVER_ERROR)
            return answer
        except BaseException as error:
            span.failed(error, _SERVER_ERROR)
            raise
        finally:
            # Given back, and no copy made: whoever called may send the same request elsewhere, and reads ``at`` of it.
            request.trace = above
            span.describe = partial(self._describe, step, request.route[taken:])
            span.finish()

    def _describe(self, step: str, route: list[bytes], span: Span) -> Attributes:
        attributes = self._ours.copy()
        if step:
            attributes["gateway.step"] = step
        for branch in route:
            if branch.startswith(self._mark):
                attributes["gateway.branch"] = branch.removeprefix(self._mark).decode()
        return attributes


class Withhold:
    """Takes what ``pattern`` finds from what backends are told. It stands inside Forward, as Forwarded does."""

    def __init__(self, inner: Service, pattern: bytes) -> None:
        self.inner = inner
        self._without = partial(re.compile(pattern).sub, b"")

    def __call__(self, request: Request) -> Awaitable[Response]:
        request.stamp = self._without(request.stamp)
        return self.inner(request)


class TraceAttempt:
    """Around the connections to one address: each call that is really made, be it the first or one more."""

    def __init__(self, inner: Service, backend: str, origin: Origin, address: str) -> None:
        self.inner = inner
        self._base = "http://localhost" if origin.socket else str(origin)
        self._ours: Attributes = {"gateway.backend": backend, "server.address": origin.socket or origin.host}
        if not origin.socket:
            self._ours["server.port"] = origin.port
        if address:
            self._ours["network.peer.address"] = address

    def __call__(self, request: Request) -> Awaitable[Response]:
        inner, above = self.inner, request.trace
        return inner(request) if above is None else self._traced(request, above)

    async def _traced(self, request: Request, above: Span) -> Response:
        span = above.child("", {}, "client")
        span.describe = partial(self._describe, request.method, request.target, request.stamp)
        call = request.derive(request.deadline)  # another attempt may be made of the same request meanwhile
        # Where the backend is told its parent, that is this attempt and no other.
        call.stamp = request.stamp.replace(span.recording.lines, span.lines)
        try:
            answer = await self.inner(call)
        except BaseException as error:
            _failed(span, _ANY_ERROR, error)
            raise
        _answered(span, answer, _ANY_ERROR)
        return answer

    def _describe(self, method: bytes, target: bytes, stamp: bytes, span: Span) -> Attributes:
        span.name = _name(method)
        attributes = {**self._ours, **_method(method), "url.full": self._base + target.decode("latin-1")}
        if (number := count(stamp)) > 1:
            attributes["http.request.resend_count"] = number - 1
        return attributes


def _answered(span: Span, answer: Response, bad: int) -> None:
    """The end of ``span``, unless the answer streams: then it ends with the stream."""
    span.attributes["http.response.status_code"] = answer.status
    span.answered(answer.status, bad)
    if answer.stream is None:
        span.finish()
    else:
        answer.stream.when_ended(partial(_failed, span, bad))


def _failed(span: Span, bad: int, error: BaseException | None) -> None:
    if error is not None:
        span.failed(error, bad)
    span.finish()


def _name(method: bytes) -> str:
    return method.decode() if method in _METHODS else "HTTP"


def _method(method: bytes) -> Attributes:
    """Low cardinality: a method that nobody knows is OTHER, and its own name an attribute."""
    if method in _METHODS:
        return {"http.request.method": method.decode()}
    return {"http.request.method": "_OTHER", "http.request.method_original": method.decode("latin-1")}


def trace(tracer: Tracer, graph: str, scheme: str, route: Route) -> Layer:
    """At the edge of ``graph``, which is reached over ``scheme``."""
    return lambda inner: Trace(inner, tracer, graph, scheme, route)


def withhold(allowed: Mapping[bytes, bool]) -> Layer | None:
    """Where a backend may be told the request's id or its trace, but not both; else None, for no layer."""
    identified, traced = allowed[b"x-request-id"], allowed[b"traceparent"]
    if identified == traced:
        return None
    return lambda inner: Withhold(inner, _TRACE_LINES if identified else _ID_LINE)


def trace_node(graph: str, node: str, kind: str) -> Layer:
    """Around ``node``; ``kind``: its ``routerType``."""
    return lambda inner: TraceNode(inner, graph, node, kind)


def trace_attempts(backend: str, origin: Origin, address: str = "") -> Layer:
    """Around the connections of ``backend`` to ``origin``, at ``address`` where its name has several."""
    return lambda inner: TraceAttempt(inner, backend, origin, address)
