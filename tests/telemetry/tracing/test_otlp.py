from __future__ import annotations

import asyncio
import logging

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource

from gateway.errors import UpstreamTimeout
from gateway.telemetry.tracing.otlp import Seldom, otlp, readable
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
    (one,) = received(encode_spans([readable(span, Resource({"service.name": "shop"}))]).SerializeToString())
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
    async with collector() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        for key, value in environ.items():
            monkeypatch.setenv(key, value)
        assert await asyncio.to_thread(otlp(), [span])
        (arrived,) = traces.spans
    assert arrived.resource["service.name"] == name
    assert arrived.resource["telemetry.sdk.language"] == "python"
    assert arrived.id == span.id.decode()


def test_the_log_has_a_line_a_minute() -> None:
    times = iter((0.0, 1.0, 59.9, 60.0, 61.0))
    seldom = Seldom(lambda: next(times))
    record = logging.LogRecord("a", logging.ERROR, "", 0, "no", (), None)
    assert [seldom.filter(record) for _ in range(5)] == [True, False, False, True, False]
