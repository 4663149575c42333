from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing import start_tracing, wanted

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
    assert start_tracing(environ, Registry.private()) is None
    assert "no traces are sent: exporter" in caplog.text


def test_off_nothing_of_opentelemetry_is_imported() -> None:
    code = """
import sys
import gateway.worker, gateway.compile, gateway.http.listener
from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing import start_tracing
assert start_tracing({}, Registry.private()) is None
loaded = [name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "requests", "google")]
loaded += [name for name in sys.modules if name.startswith("gateway.telemetry.tracing.")]
sys.exit(" ".join(loaded) or 0)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_variables_that_make_no_sense_are_logged_and_nothing_is_traced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> object:
        raise ValueError("'brotli' is not a valid Compression")

    monkeypatch.setattr("opentelemetry.exporter.otlp.proto.http.trace_exporter.OTLPSpanExporter", refuse)
    assert start_tracing(ENDPOINT, Registry.private()) is None
    assert "no traces are sent" in caplog.text
