from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from gateway.telemetry.metrics import Registry, read
from gateway.telemetry.tracing import start_export, start_tracing, wanted
from tests.support.collector import collector
from tests.support.service import ask

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none"} | ENDPOINT, False),
        ({"OTEL_SDK_DISABLED": "True"} | ENDPOINT, False),
        ({"OTEL_SDK_DISABLED": "false"} | ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"} | ENDPOINT, True),
    ],
)
def test_on_and_off(environ: dict[str, str], expected: bool, caplog: pytest.LogCaptureFixture) -> None:
    assert wanted(environ) is expected
    assert not caplog.records


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"} | ENDPOINT,
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"} | ENDPOINT,
    ],
)
def test_an_exporter_that_there_is_not_is_logged(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    assert not wanted(environ)
    assert "no traces are sent: exporter" in caplog.text


@pytest.mark.parametrize("traced", [False, True])
def test_a_worker_imports_nothing_of_opentelemetry(traced: bool) -> None:
    code = f"""
import asyncio, sys
import gateway.worker, gateway.compile, gateway.http.listener
from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing import start_tracing

async def begin():
    return start_tracing({{}}, Registry.private(), print)

if {traced}:
    asyncio.run(begin())
loaded = [name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "requests", "google")]
if not {traced}:
    loaded += [name for name in sys.modules if name.startswith("gateway.telemetry.tracing.")]
sys.exit(" ".join(loaded) or 0)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


async def test_what_a_worker_traces_reaches_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry.private()
    async with collector() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url)
        export = start_export(os.environ, registry)

        def send(count: int, spans: bytes) -> bool:
            export.take(count, spans)
            return True

        tracer = start_tracing(os.environ, registry, send)
        span = tracer.begin(ask())
        assert span is not None
        span.name, span.attributes["gateway.graph"] = "POST iris", "iris"
        span.finish()
        tracer.flush()
        await asyncio.to_thread(export.close, 20.0)
    (arrived,) = traces.spans
    assert (arrived.id, arrived.name) == (span.id.decode(), "POST iris")
    assert registry.counter("gateway_trace_spans_total", result="success").value == 1
    assert [series.labels for series, _ in read(registry.segment) if series.kind == "exemplars"] == [("iris",)]


def test_variables_that_make_no_sense_are_logged_and_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> object:
        raise ValueError("'brotli' is not a valid Compression")

    monkeypatch.setattr("opentelemetry.exporter.otlp.proto.http.trace_exporter.OTLPSpanExporter", refuse)
    start_export(ENDPOINT, Registry.private()).close(20.0)
    assert "no traces are sent" in caplog.text
