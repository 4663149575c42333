from __future__ import annotations

import asyncio
import logging

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from gateway import __version__
from gateway.errors import UpstreamTimeout
from gateway.telemetry.tracing import otlp
from gateway.telemetry.tracing.otlp import Seldom
from gateway.telemetry.tracing.span import Span
from tests.support.collector import Received, collector, received
from tests.support.service import ask
from tests.support.spans import Spans

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


def begun(name: str = "POST iris") -> Span:
    headers = [(b"traceparent", b"00-%b-%b-01" % (TRACE, SPAN)), (b"tracestate", b"a=1,b=2")]
    span = Spans().tracer().begin(ask(headers=headers))
    assert span is not None
    span.name = name
    return span


def encoded(span: Span) -> Received:
    (one,) = received(otlp.encoded(otlp._attributes({"service.name": "shop"}), [span.ended()]).SerializeToString())
    return one


def test_everything_arrives() -> None:
    span = begun()
    span.attributes |= {"text": "ü", "number": 7, "truth": True}
    span.finish()
    arrived = encoded(span)
    assert (arrived.name, arrived.kind, arrived.state) == ("POST iris", "server", "a=1,b=2")
    assert (arrived.trace_id, arrived.id, arrived.parent) == (TRACE.decode(), span.id.decode(), SPAN.decode())
    assert arrived.attributes == {"text": "ü", "number": 7, "truth": True}
    assert (arrived.start, arrived.end, arrived.error) == (span.start, span.end, False)
    assert arrived.resource == {"service.name": "shop"}


def test_errors_with_words_and_without() -> None:
    silent, speaking = begun(), begun().child("POST", {}, "client")
    silent.answered(500, 500)
    speaking.failed(UpstreamTimeout("no answer"), 400)
    for span in (silent, speaking):
        span.finish()
    assert [(one.error, one.message) for one in map(encoded, (silent, speaking))] == [(True, ""), (True, "no answer")]
    assert encoded(speaking).kind == "client"


def context(span: Span, id: bytes) -> SpanContext:
    state, sampled = TraceState.from_header([span.recording.state.decode()]), TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(span.trace_id, 16), int(id, 16), span.remote and id == span.parent, sampled, state)


def sdks(span: Span, resource: Resource) -> ReadableSpan:
    """What OpenTelemetry's SDK would have recorded."""
    return ReadableSpan(
        span.name,
        context(span, span.id),
        context(span, span.parent),
        resource,
        span.attributes,
        links=[Link(context(other, other.id)) for other in span.links],
        kind=SpanKind[span.kind.upper()],
        status=Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR, span.error),
        start_time=span.start,
        end_time=span.end,
        instrumentation_scope=InstrumentationScope("gateway", __version__),
    )


def test_what_is_sent_is_what_opentelemetry_would_send() -> None:
    server = begun()
    server.attributes |= {"text": "ü", "number": -7, "truth": True}
    failed = server.child("POST", {"http.response.status_code": 502}, "client")
    failed.error = "no answer"
    inner = server.child("node root", {})
    inner.links = [failed, server]
    spans = [server, failed, inner]
    for span in spans:
        span.finish()
    resource = Resource({"service.name": "shop", "ports": [1, 2], "share": 0.5, "names": ["a", "b"]})
    expected = encode_spans([sdks(span, resource) for span in spans])
    for message in expected.resource_spans[0].scope_spans[0].spans:
        if not message.status.code:
            message.ClearField("status")  # unset, and said to be
    assert otlp.encoded(otlp._attributes(resource.attributes), [span.ended() for span in spans]) == expected


def test_a_version_that_encodes_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trace_exporter, "encode_spans")
    with pytest.raises(ValueError, match="version"):
        otlp.otlp()


def test_links() -> None:
    batch, member = begun(), begun()
    batch.links = [member]
    batch.finish()
    assert encoded(batch).links == [f"{TRACE.decode()}-{member.id.decode()}"]


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "inference-gateway"),
        ({"OTEL_SERVICE_NAME": "shop"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,team=ml"}, "shop"),
    ],
)
async def test_over_the_wire(environ: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    span = begun()
    span.finish()
    monkeypatch.setattr(trace_exporter, "encode_spans", None)  # it is replaced, and put back by this
    async with collector() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        for key, value in environ.items():
            monkeypatch.setenv(key, value)
        assert await asyncio.to_thread(otlp.otlp(), [span.ended()])
        (arrived,) = traces.spans
    assert arrived.resource["service.name"] == name
    assert arrived.resource["telemetry.sdk.language"] == "python"
    assert arrived.id == span.id.decode()


def test_the_log_has_a_line_a_minute() -> None:
    times = iter((0.0, 1.0, 59.9, 60.0, 61.0))
    seldom = Seldom(lambda: next(times))
    record = logging.LogRecord("a", logging.ERROR, "", 0, "no", (), None)
    assert [seldom.filter(record) for _ in range(5)] == [True, False, False, True, False]
