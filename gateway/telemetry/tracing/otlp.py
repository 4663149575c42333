"""To OpenTelemetry's own exporter, over OTLP/HTTP. The only file that imports it, which takes a tenth of a second.

Endpoint, headers, time limit, compression, certificates and the resource are read from OTEL_* by OpenTelemetry itself.
https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

import logging
import os
import time
from binascii import unhexlify
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from gateway import __version__

from .export import Send
from .span import Ended

Message = dict[str, Any]
"""The fields of a protobuf message, with messages inside."""

_KINDS: Final = {
    "server": trace_pb2.Span.SPAN_KIND_SERVER,
    "client": trace_pb2.Span.SPAN_KIND_CLIENT,
    "internal": trace_pb2.Span.SPAN_KIND_INTERNAL,
}
_SCOPE: Final = {"name": "gateway", "version": __version__}
_LOCAL: Final = trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _LOCAL | trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_QUIET = 60.0
"""Seconds between two lines in the log about spans that could not be sent."""


def otlp() -> Send:
    """Sends spans to where the environment says. Raises ValueError when that makes no sense."""
    exporter: Any = trace_exporter.OTLPSpanExporter()
    # It does all but encode. What it would do itself is to make one of the SDK's spans of each of ours and a message of
    # that, which takes 20 µs a span where 5 do.
    if not hasattr(trace_exporter, "encode_spans"):
        raise ValueError("opentelemetry-exporter-otlp-proto-http is of a version that is not known here")
    trace_exporter.encode_spans = partial(encoded, _attributes(_resource().attributes))
    logger = logging.getLogger(trace_exporter.__name__)
    logger.setLevel(logging.ERROR)  # what it tries again is no news
    logger.addFilter(Seldom())

    def send(spans: list[Ended]) -> bool:
        return exporter.export(spans) is SpanExportResult.SUCCESS

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


def encoded(resource: list[Message], spans: Sequence[Ended]) -> ExportTraceServiceRequest:
    """What a collector is sent; ``resource``: its attributes."""
    scope = {"scope": _SCOPE, "spans": [_message(span) for span in spans]}
    fields: Message = {"resource_spans": [{"resource": {"attributes": resource}, "scope_spans": [scope]}]}
    return ExportTraceServiceRequest(**fields)


def _message(span: Ended) -> Message:
    fields: Message = {
        "trace_id": unhexlify(span.trace_id),
        "span_id": unhexlify(span.id),
        "parent_span_id": unhexlify(span.parent),
        "trace_state": span.state.decode(),
        "name": span.name,
        "kind": _KINDS[span.kind],
        "start_time_unix_nano": span.start,
        "end_time_unix_nano": span.end,
        "attributes": _attributes(span.attributes),
        "flags": _REMOTE if span.remote else _LOCAL,
    }
    if span.links:
        fields["links"] = [
            {"trace_id": unhexlify(trace_id), "span_id": unhexlify(id), "flags": _LOCAL} for trace_id, id in span.links
        ]
    if span.error is not None:
        fields["status"] = {"code": trace_pb2.Status.STATUS_CODE_ERROR, "message": span.error}
    return fields


def _attributes(attributes: Mapping[str, Any]) -> list[Message]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


_FIELDS: Final[Mapping[type, str]] = {
    str: "string_value",
    int: "int_value",
    bool: "bool_value",
    float: "double_value",
}


def _value(value: Any) -> Message:
    field = _FIELDS.get(type(value))
    if field is None:  # only a resource has such
        return {"array_value": {"values": [_value(one) for one in value]}}
    return {field: value}


def _resource() -> Resource:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over our own name."""
    ours = Resource({"service.name": "inference-gateway", "service.version": __version__, "process.pid": os.getpid()})
    said = Resource.create()
    unnamed = str(said.attributes.get("service.name", "")).startswith("unknown_service")
    return said.merge(ours) if unnamed else ours.merge(said)
