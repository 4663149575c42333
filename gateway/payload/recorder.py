"""Recorder: what events say of the one place that they are recorded at, the edge of a graph or a step.

On a request's way only references are kept (a Snapshot); of headers that come again, what was made of them before.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from sys import maxsize
from typing import TYPE_CHECKING
from uuid import uuid4

from msgspec import Raw

from gateway.config.payload import PayloadLog
from gateway.message import Encoded, Headers, Request, Response

from .event import Head, Place, Snapshot, encode

if TYPE_CHECKING:
    from .redact import Redaction

_KNOWN = 64
"""Heads that are remembered; when there are more, all are forgotten and learnt again."""


class Recorder:
    """Knows the graph, and the node and step if it stands at one."""

    def __init__(self, log: PayloadLog, graph: str, node: str = "", step: str = "") -> None:
        self.graph = graph
        self.place = Raw(encode(Place(graph, node, step, log.sample_rate, str(uuid4())[:-12])))
        self.number = count().__next__
        """Numbers the exchanges."""
        self.most = log.max_body_bytes
        """Bytes of a body that an event may hold."""
        self.at_once = maxsize if log.redact else self.most
        """Bytes that a whole body is cut to before anything else; a part of it could not be redacted."""
        self._redact = _redaction(log.redact) if log.redact else None
        self._listed = frozenset(name.lower().encode() for name in log.headers)
        self._known: dict[Encoded, Raw] = {}

    def head(self, message: Request | Response) -> Raw:
        """What is kept of the headers of ``message``, encoded."""
        known = message.encoded
        if known is None or known.headers is not message.headers:
            return self._read(message.headers)
        return self._known.get(known) or self._learn(known)

    def redact(self, taken: Snapshot) -> None:
        """Take out of ``taken`` what nobody may see; a body of which nobody knows what it holds, as a whole."""
        assert self._redact is not None
        cut = taken.size > len(taken.body)
        redacted = self._redact(taken.body) if taken.body else b""
        if redacted is not None and not cut:
            taken.size = len(redacted)
        taken.body = b"" if redacted is None else redacted[: self.most]

    def _learn(self, known: Encoded) -> Raw:
        if len(self._known) >= _KNOWN:
            self._known.clear()
        head = self._known[known] = self._read(known.headers)
        return head

    def _read(self, headers: Headers) -> Raw:
        found = {b"content-type": b"", b"traceparent": b"", b"ce-id": b""}
        kept = []
        for name, value in headers:
            if name in found:
                found[name] = value
            if name in self._listed:
                kept.append((name.decode(), value.decode("latin-1")))
        kind, traceparent, given_id = (value.decode("latin-1") for value in found.values())
        return Raw(encode(Head(kind, kept, traceparent, given_id)))


def _redaction(expressions: Iterable[str]) -> Redaction:
    from .redact import Redaction  # here, so that a worker without any does not load jmespath

    return Redaction(expressions)
