"""Recorder: makes events of the messages that pass at one place, the edge of a graph or a step.

On a request's way only references are kept (a Snapshot); reading headers, redacting and cutting come later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from gateway.config.payload import PayloadLog
from gateway.errors import GatewayError
from gateway.message import Headers, header
from gateway.problem import problem

from .event import Event, Kind

if TYPE_CHECKING:
    from .redact import Redaction


class Snapshot(msgspec.Struct, gc=False):
    """What is kept of a message until its event is made. Bodies and header lists are never changed in place."""

    recorder: Recorder
    kind: Kind
    exchange: bytes
    time: float
    request_id: bytes
    headers: Headers
    body: bytes = b""
    status: int = 0
    route: bytes = b""
    duration: float = 0.0
    error: GatewayError | None = None


class Recorder:
    """Knows the graph, and the node and step if it stands at one."""

    def __init__(self, log: PayloadLog, graph: str, node: str = "", step: str = "") -> None:
        self._place = (graph, node, step)
        self._rate = log.sample_rate
        self._most = log.max_body_bytes
        self._redact = _redaction(log.redact) if log.redact else None
        self._listed = frozenset(name.lower().encode() for name in log.headers)

    def event(self, taken: Snapshot) -> Event:
        """The event of a snapshot that this recorder is in."""
        graph, node, step = self._place
        headers, body = taken.headers, taken.body
        code = ""
        if taken.error is not None:
            answer = problem(taken.error, taken.request_id)
            headers, body, code = answer.headers, answer.body, taken.error.code
        body, size = self._shown(body)
        return Event(
            kind=taken.kind,
            exchange=taken.exchange.decode(),
            time=taken.time,
            graph=graph,
            node=node,
            step=step,
            request_id=taken.request_id.decode("latin-1"),
            content_type=_text(headers, b"content-type"),
            body=body,
            size=size,
            headers=self._allowed(headers),
            status=taken.status,
            code=code,
            branch=taken.route.decode("latin-1"),
            duration=taken.duration,
            traceparent=_text(taken.headers, b"traceparent"),
            given_id=_text(taken.headers, b"ce-id"),
            sample_rate=self._rate,
        )

    def _shown(self, body: bytes) -> tuple[bytes, int]:
        """What may be seen of ``body``, and how long that was before it was cut."""
        size = len(body)
        if self._redact is not None and body:
            redacted = self._redact(body)
            body, size = (b"", size) if redacted is None else (redacted, len(redacted))
        return body[: self._most], size

    def _allowed(self, headers: Headers) -> list[tuple[str, str]]:
        if not self._listed:
            return []
        return [(name.decode(), value.decode("latin-1")) for name, value in headers if name in self._listed]


def _redaction(expressions: Iterable[str]) -> Redaction:
    from .redact import Redaction  # here, so that a worker without any does not load jmespath

    return Redaction(expressions)


def _text(headers: Headers, name: bytes) -> str:
    value = header(headers, name)
    return "" if value is None else value.decode("latin-1")
