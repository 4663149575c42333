"""Traces of whole graphs, with the data plane in this process."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from aiohttp import web

from gateway.config import schema
from gateway.config.backend import HealthCheck, Hedge, Retry
from gateway.telemetry.tracing.context import Propagation
from gateway.telemetry.tracing.span import Span
from tests.support.loopback import Call, Fields, closed_port, serving, stub
from tests.support.spans import Spans

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def config(
    router_type: schema.RouterType,
    backends: dict[str, schema.Backend],
    compat: Literal["none", "kserve"] = "none",
    propagate: tuple[str, ...] | None = None,
) -> schema.Config:
    steps = tuple(schema.Step(backend=name, weight=1 if router_type == "Splitter" else None) for name in backends)
    graph = schema.Graph(
        nodes={"root": schema.Node(router_type=router_type, steps=steps)},
        compat=compat,
        headers=schema.HeaderRules(propagate=propagate),
    )
    return schema.Config(backends=backends, graphs={"m": graph})


def parents(spans: Spans) -> dict[str, str]:
    """The name of each span's parent, by what it is of."""
    names = {span.id: span.name for span in spans}
    return {str(span.attributes.get("gateway.backend", span.name)): names.get(span.parent, "") for span in spans}


def told(call: Call) -> str:
    (value,) = call.all("traceparent")
    return value


def of(spans: Spans, backend: str) -> list[Span]:
    return [span for span in spans if span.attributes.get("gateway.backend") == backend]


async def test_the_steps_of_an_ensemble_are_siblings() -> None:
    spans = Spans()
    async with stub() as one, stub() as two:
        ensemble = config("Ensemble", {"a": schema.Backend(url=one.url), "b": schema.Backend(url=two.url)})
        async with serving(ensemble, spans.tracer()) as gateway:
            assert (await gateway.post("/v1/models/m:predict")).status == 200
    server = "POST /v1/models/{model}:predict"
    assert parents(spans) == {"a": "node root", "b": "node root", "node root": server, server: ""}
    assert told(one.calls[0]) != told(two.calls[0])


async def test_a_second_call_and_the_one_that_it_was_faster_than() -> None:
    held = asyncio.Event()

    async def first_hangs(call: Call) -> web.Response:
        if not call.all("x-gateway-attempt-count"):
            await held.wait()
        return web.Response(body=b"{}")

    spans = Spans()
    async with stub(first_hangs) as model:
        backend = schema.Backend(url=model.url, hedge=Hedge(after="10ms"))
        async with serving(config("Sequence", {"a": backend}), spans.tracer()) as gateway:
            assert (await gateway.post("/v1/models/m:predict")).status == 200
        held.set()
    won, lost = sorted(of(spans, "a"), key=lambda span: "gateway.cancelled" in span.attributes)
    assert won.attributes["http.request.resend_count"] == 1
    assert lost.attributes["gateway.cancelled"] is True
    assert (won.parent, won.error, lost.error) == (lost.parent, None, None)
    assert {told(call)[36:52] for call in model.calls} == {won.id.decode(), lost.id.decode()}


async def test_a_call_that_does_not_connect_is_an_attempt() -> None:
    spans = Spans()
    backend = schema.Backend(url=closed_port(), retry=Retry(attempts=1))
    async with serving(config("Sequence", {"a": backend}), spans.tracer()) as gateway:
        answer = await gateway.post("/v1/models/m:predict")
    assert (answer.status, answer.json["node"]) == (503, "root")
    assert [span.error is not None for span in spans] == [True] * 3
    assert of(spans, "a")[0].attributes["error.type"] == "upstream_connect_failure"


async def test_errors_name_the_same_place_with_traces_and_without() -> None:
    graph = config("Sequence", {"a": schema.Backend(url=closed_port())})
    places = []
    for tracer in (None, Spans().tracer()):
        async with serving(graph, tracer) as gateway:
            problem = (await gateway.post("/v1/models/m:predict")).json
            places.append((problem["graph"], problem["node"], problem["step"], problem["code"]))
    assert places[0] == places[1]


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (None, ["traceparent", "x-request-id"]),
        (("^traceparent$",), ["traceparent"]),
        (("^x-request-id$",), ["x-request-id"]),
        (("^x-tenant$",), []),
    ],
)
async def test_backends_are_told_what_is_listed(
    ratio: float, listed: tuple[str, ...] | None, expected: list[str]
) -> None:
    async with stub() as model:
        graph = config("Sequence", {"a": schema.Backend(url=model.url)}, propagate=listed)
        async with serving(graph, Spans().tracer(ratio)) as gateway:
            await gateway.post("/v1/models/m:predict")
    (call,) = model.calls
    assert sorted(name for name, _ in call.headers if name in ("traceparent", "x-request-id")) == expected


async def test_repeated_tracestate_is_one_and_the_callers_traceparent_is_gone() -> None:
    spans = Spans()
    sent: Fields = [("traceparent", f"00-{TRACE}-{SPAN}-01"), ("tracestate", "a=1"), ("tracestate", "b=2")]
    async with stub() as model:
        graph = config("Sequence", {"a": schema.Backend(url=model.url)})
        async with serving(graph, spans.tracer()) as gateway:
            await gateway.post("/v1/models/m:predict", b"{}", *sent)
    (call,) = model.calls
    assert told(call) == f"00-{TRACE}-{of(spans, 'a')[0].id.decode()}-01"
    assert call.all("tracestate") == ["a=1,b=2"]


async def test_in_kserve_mode_there_are_spans_and_backends_are_told_nothing() -> None:
    spans = Spans()

    def elsewhere(call: Call) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{target.url}/there"})

    async with stub() as target, stub(elsewhere) as model:
        graph = config("Sequence", {"a": schema.Backend(url=model.url)}, "kserve")
        async with serving(graph, spans.tracer()) as gateway:
            assert (await gateway.post("/anything")).status == 200
    first, second = (span.attributes["url.full"] for span in of(spans, "a"))
    assert (first, second) == (f"{model.url}/v1/models/a:predict", f"{target.url}/there")
    assert spans[-1].name == "POST m"
    assert not target.calls[0].all("traceparent")


async def test_the_endpoints_of_a_checked_backend_are_traced_but_not_its_checks() -> None:
    spans = Spans()
    async with stub() as model:
        backend = schema.Backend(endpoints=(model.url,), health_check=HealthCheck(path="/up"))
        async with serving(config("Sequence", {"a": backend}), spans.tracer()) as gateway:
            await gateway.post("/v1/models/m:predict")
            while not any(call.target == "/up" for call in model.calls):
                await model.arrived.acquire()
    assert [str(span.attributes["url.full"]).rpartition("/")[2] for span in of(spans, "a")] == ["a:predict"]


@pytest.mark.parametrize("sampled", ["0", "1"])
async def test_b3_in_several_headers_in_and_out(sampled: str) -> None:
    spans = Spans()
    sent: Fields = [("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-Sampled", sampled)]
    async with stub() as model:
        graph = config("Sequence", {"a": schema.Backend(url=model.url)})
        async with serving(graph, spans.tracer(propagation=Propagation(["b3multi"]))) as gateway:
            await gateway.post("/v1/models/m:predict", b"{}", *sent)
    span_id = of(spans, "a")[0].id.decode() if sampled == "1" else SPAN
    told = {name: value for name, value in model.calls[0].headers if name.startswith("x-b3-")}
    assert told == {"x-b3-traceid": TRACE, "x-b3-spanid": span_id, "x-b3-sampled": sampled}
