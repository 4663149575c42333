"""Recorder: makes events of the messages that pass at one place, the edge of a graph or a step.

On a request's way only references are kept (a Snapshot); reading headers, redacting and cutting come later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from gateway.config.payload import PayloadLog
from gateway.errors import GatewayError
from gateway.message import Headers
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
    asked: Headers
    """The request's headers, whatever the kind."""
    headers: Headers
    body: bytes = b""
    status: int = 0
    route: bytes = b""
    duration: float = 0.0
    error: GatewayError | None = None
    size: int = 0
    """Bytes of the whole body, where ``body`` is a part of it."""


class Recorder:
    """Knows the graph, and the node and step if it stands at one."""

    def __init__(self, log: PayloadLog, graph: str, node: str = "", step: str = "") -> None:
        self._place = (graph, node, step)
        self._rate = log.sample_rate
        self.most = log.max_body_bytes
        """Bytes of a body that are kept."""
        self._redact = _redaction(log.redact) if log.redact else None
        self._listed = frozenset(name.lower().encode() for name in log.headers)

    def event(self, taken: Snapshot) -> Event:
        """The event of a snapshot that this recorder is in."""
        headers, body, code = taken.headers, taken.body, ""
        if taken.error is not None:
            taken.error.graph = self._place[0]  # as the edge will have it, possibly later than we are asked
            answer = problem(taken.error, taken.request_id)
            headers, body, code = answer.headers, answer.body, taken.error.code
        # By hand and by position: with keywords and helpers this is most of what an event costs.
        kind = traceparent = given_id = b""
        for name, value in headers:
            if name == b"content-type":
                kind = value
        for name, value in taken.asked:
            if name == b"traceparent":
                traceparent = value
            elif name == b"ce-id":
                given_id = value
        size = len(body)
        if self._redact is not None or size > self.most:
            body, size = self._shown(body)
        size = max(size, taken.size)
        return Event(
            taken.kind,
            taken.exchange.decode(),
            taken.time,
            *self._place,
            taken.request_id.decode("latin-1"),
            kind.decode("latin-1"),
            body,
            size,
            self._allowed(headers) if self._listed else [],
            taken.status,
            code,
            taken.route.decode("latin-1"),
            taken.duration,
            traceparent.decode("latin-1"),
            given_id.decode("latin-1"),
            self._rate,
        )

    def _shown(self, body: bytes) -> tuple[bytes, int]:
        """What may be seen of ``body``, and how long that was before it was cut."""
        size = len(body)
        if self._redact is not None and body:
            redacted = self._redact(body)
            body, size = (b"", size) if redacted is None else (redacted, len(redacted))
        return body[: self.most], size

    def _allowed(self, headers: Headers) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode("latin-1")) for name, value in headers if name in self._listed]


def _redaction(expressions: Iterable[str]) -> Redaction:
    from .redact import Redaction  # here, so that a worker without any does not load jmespath

    return Redaction(expressions)
