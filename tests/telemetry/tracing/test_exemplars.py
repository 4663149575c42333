from __future__ import annotations

import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from gateway.config import schema
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.metrics import Registry, read
from gateway.telemetry.names import NATIVE
from gateway.telemetry.tracing.exemplars import Exemplify, wanted
from gateway.telemetry.tracing.span import Span
from tests.support.loopback import serving, status, stub
from tests.support.service import ask
from tests.support.spans import Spans

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
NAME = "gateway_request_duration_seconds"


class Traced(Spans):
    """Graphs that are traced with exemplars."""

    def __init__(self, ratio: float = 1.0) -> None:
        super().__init__()
        self.registry = Registry.private()
        self.exemplify = Exemplify(self.registry)
        self.by = self.tracer(ratio)

    def __call__(self, span: Span) -> None:
        super().__call__(span)
        self.exemplify(span.ended())

    def shown(self, *others: Registry, accept: str = OPENMETRICS) -> dict[str, dict[str, str]]:
        """The labels of each exemplar by its bucket's upper bound, as Prometheus would read them."""
        page = Exposition([self.registry.segment, *(other.segment for other in others)], dict).render(accept)[0]
        return {
            sample.labels["le"]: sample.exemplar.labels
            for family in parse(page.decode())
            if family.name == NAME
            for sample in family.samples
            if sample.exemplar is not None
        }

    def server(self) -> Span:
        (span,) = (span for span in self if span.kind == "server")
        return span


def config(url: str) -> schema.Config:
    root = schema.Node(router_type="Sequence", steps=(schema.Step(backend="a"),))
    return schema.Config(backends={"a": schema.Backend(url=url)}, graphs={"m": schema.Graph(nodes={"root": root})})


def stream(call: object) -> web.Response:
    return web.Response(body=b"x" * (1 << 20))


@pytest.mark.parametrize("reply", [b"{}", status(500, b"{}"), stream])
async def test_a_traced_request_is_the_exemplar_of_its_bucket(reply: object) -> None:
    traced = Traced()
    async with stub(reply) as model, serving(config(model.url), traced.by) as gateway:  # type: ignore[arg-type]
        await gateway.post("/v1/models/m:predict")
        ((_, labels),) = traced.shown(gateway.registry).items()
    span = traced.server()
    assert labels == {"trace_id": span.trace_id.decode(), "span_id": span.id.decode()}
    assert [span.kind for span in traced].count("client") == 1


async def test_its_value_is_the_spans_time_and_its_bucket_that_of_the_value() -> None:
    traced = Traced()
    async with stub() as model, serving(config(model.url), traced.by) as gateway:
        await gateway.post("/v1/models/m:predict")
        page = Exposition([gateway.registry.segment, traced.registry.segment], dict).render(OPENMETRICS)[0].decode()
    (line,) = (line for line in page.splitlines() if " # " in line)
    (sample,) = (
        sample for family in parse(page) if family.name == NAME for sample in family.samples if sample.exemplar
    )
    span, exemplar = traced.server(), sample.exemplar
    assert exemplar is not None
    assert exemplar.value == (span.end - span.start) / 1e9 <= float(sample.labels["le"])
    assert float(exemplar.timestamp or 0) == pytest.approx(span.end / 1e9, abs=0.001)
    assert len("".join(key + value for key, value in exemplar.labels.items())) <= 128
    assert f'# {{span_id="{span.id.decode()}",trace_id="{span.trace_id.decode()}"}} ' in line


async def test_without_a_sampled_trace_there_is_neither_an_exemplar_nor_memory_for_one() -> None:
    traced = Traced(0.0)
    async with stub() as model, serving(config(model.url), traced.by) as gateway:
        assert (await gateway.post("/v1/models/m:predict")).status == 200
        assert traced.shown(gateway.registry) == {}
    assert list(read(traced.registry.segment)) == []


async def test_the_last_worker_to_see_a_bucket_shows_its_exemplar() -> None:
    one, other = Traced(), Traced()
    async with stub() as model:
        for traced in (one, other):
            traced.registry.buckets = (600.0,)
            async with serving(config(model.url), traced.by) as gateway:
                await gateway.post("/v1/models/m:predict")
    histogram = Registry.private()
    histogram.histogram(NAME, (600.0,), graph="m")
    shown = one.shown(other.registry, histogram)
    assert shown == other.shown(one.registry, histogram)
    assert shown["600.0"]["trace_id"] == other.server().trace_id.decode()


def test_exemplars_are_beside_the_histogram_that_the_configuration_chose() -> None:
    traced = Traced()
    traced.registry.buckets = NATIVE
    span = traced.by.begin(ask())
    assert span is not None
    span.attributes["gateway.graph"] = "m"
    span.finish()
    assert [series.bounds for series, _ in read(traced.registry.segment)] == [NATIVE]


@pytest.mark.parametrize(
    ("said", "expected", "logged"),
    [
        ("", True, ""),
        ("trace_based", True, ""),
        ("always_on", True, ""),
        (" Always_Off ", False, ""),
        ("often", True, "OTEL_METRICS_EXEMPLAR_FILTER=often is not known here: trace_based is used"),
    ],
)
def test_the_filter(said: str, expected: bool, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    assert wanted({"OTEL_METRICS_EXEMPLAR_FILTER": said}) is expected
    assert "".join(record.getMessage() for record in caplog.records) == logged


def test_without_the_variable_the_filter_is_trace_based() -> None:
    assert wanted({})
