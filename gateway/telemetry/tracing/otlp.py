"""To OpenTelemetry's own exporter, over OTLP/HTTP. The only file that imports it, which takes a tenth of a second.

Endpoint, headers, time limit, compression, certificates and the resource are read from OTEL_* by OpenTelemetry itself.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway import __version__

from .export import Send
from .span import Span

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SCOPE = InstrumentationScope("gateway", __version__)
_QUIET = 60.0
"""Seconds between two lines in the log about spans that could not be sent."""


def otlp() -> Send:
    """Sends spans to where the environment says. Raises ValueError when that makes no sense."""
    resource = _resource()
    exporter = trace_exporter.OTLPSpanExporter()
    logger = logging.getLogger(trace_exporter.__name__)
    logger.setLevel(logging.ERROR)  # what it tries again is no news
    logger.addFilter(Seldom())

    def send(spans: list[Span]) -> bool:
        return exporter.export([readable(span, resource) for span in spans]) is SpanExportResult.SUCCESS

    return send


class Seldom(logging.Filter):
    """Lets a line through a minute: a collector that is away for an hour must not fill the log."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._next = -_QUIET

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + _QUIET
        return True


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """As OpenTelemetry's exporters want it."""
    return ReadableSpan(
        span.name,
        _context(span, span.id),
        _context(span, span.parent, span.remote) if span.parent else None,
        resource,
        span.attributes,
        links=[Link(_context(other, other.id)) for other in span.links],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error or None),
        start_time=span.start,
        end_time=span.end,
        instrumentation_scope=_SCOPE,
    )


def _context(span: Span, span_id: bytes, remote: bool = False) -> SpanContext:
    state = span.recording.state
    return SpanContext(
        int(span.trace_id, 16),
        int(span_id, 16),
        remote,
        TraceFlags(TraceFlags.SAMPLED),
        TraceState.from_header([state.decode()]) if state else None,
    )


def _resource() -> Resource:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over our own name."""
    ours = Resource({"service.name": "inference-gateway", "service.version": __version__, "process.pid": os.getpid()})
    said = Resource.create()
    unnamed = str(said.attributes.get("service.name", "")).startswith("unknown_service")
    return said.merge(ours) if unnamed else ours.merge(said)
