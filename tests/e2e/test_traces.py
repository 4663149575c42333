"""Traces as a collector receives them, from gateways as users run them."""

from __future__ import annotations

import asyncio
import signal
import time

import aiohttp
import pytest
from aiohttp import web

from tests.support.collector import Received, collector
from tests.support.loopback import Call, closed_port, status, stub
from tests.support.running import Model, RunningGateway, Serve, configuration, predict

pytestmark = pytest.mark.e2e

CALLER = "0af7651916cd43dd8448eb211c80319c"
NESTED = """
server: {{listen: "127.0.0.1:0", workers: 1, drain: {{delay: 0s, timeout: 30s}}}}
admin: {{listen: "127.0.0.1:0"}}
backends:
  flaky: {{url: "{flaky}", retry: {{attempts: 3, retryOn: [503], backoff: {{base: 1ms, max: 1ms}}}}}}
  sure: {{url: "{sure}"}}
graphs:
  m:
    nodes:
      root: {{routerType: Sequence, steps: [{{name: choose, nodeName: canary}}, {{name: last, backend: sure}}]}}
      canary: {{routerType: Splitter, steps: [{{backend: flaky, weight: 1}}]}}
"""


def otel(url: str, **more: str) -> dict[str, str]:
    """What everybody sets, and no waiting for more spans."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "50"} | more


async def post(gateway: RunningGateway, **headers: str) -> int:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session,
        session.post(f"{gateway.data}/v1/models/m:predict?q=1", data=b"{}", headers=headers) as answer,
    ):
        await answer.read()
        return answer.status


async def counts(gateway: RunningGateway, result: str, spans: int) -> None:
    """Wait until that many at least are counted: the exporter does it when it has the collector's answer."""
    async with asyncio.timeout(20):
        while await gateway.metric(f'gateway_trace_spans_total{{result="{result}"') < spans:
            pass


async def test_one_trace_through_a_nested_graph_with_a_retry(serve: Serve) -> None:
    ends = iter([web.Response(status=503), web.Response(body=b"{}")])
    async with collector() as traces, stub(lambda call: next(ends)) as flaky, stub() as sure:
        gateway = await serve(
            NESTED.format(flaky=flaky.url, sure=sure.url), **otel(traces.url, OTEL_SERVICE_NAME="shop-router")
        )
        sent = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01", "tracestate": "a=1", "baggage": "user=7"}
        assert await post(gateway, **sent, **{"x-request-id": "id-1"}) == 200
        spans = await traces.has(6)
        assert {span.trace_id for span in spans} == {CALLER}
        assert {span.resource["service.name"] for span in spans} == {"shop-router"}
        (server,) = traces.named("POST /v1/models/{model}:predict")
        (root,), (canary,) = traces.named("node root"), traces.named("node canary")
        first, second, last = traces.named("POST")
        parents = [server.parent, root.parent, canary.parent, first.parent, second.parent, last.parent]
        assert parents == ["b7ad6b7169203331", server.id, root.id, canary.id, canary.id, root.id]
        _check_server(server)
        assert root.attributes == {"gateway.graph": "m", "gateway.node": "root", "gateway.type": "Sequence"}
        assert canary.attributes["gateway.step"] == "choose"
        assert canary.attributes["gateway.branch"] == "flaky"
        _check_attempts(first, second, flaky.url)
        told = [call.all("traceparent") for call in (*flaky.calls, *sure.calls)]
        assert told == [[f"00-{CALLER}-{span.id}-01"] for span in (first, second, last)]
        assert [call.all("tracestate") + call.all("baggage") for call in sure.calls] == [["a=1", "user=7"]]
        await counts(gateway, "success", 6)


def _check_server(server: Received) -> None:
    assert (server.kind, server.error, server.state) == ("server", False, "a=1")
    expected = {
        "http.request.method": "POST",
        "http.route": "/v1/models/{model}:predict",
        "http.response.status_code": 200,
        "url.path": "/v1/models/m:predict",
        "url.scheme": "http",
        "client.address": "127.0.0.1",
        "gateway.request_id": "id-1",
        "gateway.graph": "m",
    }
    assert server.attributes.items() >= expected.items()


def _check_attempts(first: Received, second: Received, url: str) -> None:
    assert (first.kind, first.error, first.attributes["error.type"]) == ("client", True, "503")
    assert first.attributes["http.response.status_code"] == 503
    assert first.attributes["url.full"] == f"{url}/v1/models/flaky:predict"
    assert first.attributes["server.port"] == int(url.rpartition(":")[2])
    assert "http.request.resend_count" not in first.attributes
    assert (second.error, second.attributes["http.request.resend_count"]) == (False, 1)
    assert first.start < first.end <= second.start < second.end


async def test_without_an_exporter_headers_pass_untouched(serve: Serve) -> None:
    async with stub() as model:
        gateway = await serve(configuration(model.url, workers=1))
        assert await post(gateway, traceparent="nonsense", tracestate="a=1,a=2", baggage="user=7") == 200
        (call,) = model.calls
        assert [call.all(name) for name in ("traceparent", "tracestate", "baggage")] == [
            ["nonsense"],
            ["a=1,a=2"],
            ["user=7"],
        ]
        assert await gateway.metric("gateway_trace") == 0


async def test_what_is_sampled_out_is_not_sent_and_backends_know(serve: Serve) -> None:
    async with collector() as traces, stub() as model:
        environ = otel(traces.url, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
        gateway = await serve(configuration(model.url, workers=1), **environ)
        assert await post(gateway) == await post(gateway, traceparent=f"00-{CALLER}-b7ad6b7169203331-00") == 200
        own, callers = (call.all("traceparent")[0] for call in model.calls)
        assert own.endswith("-00")
        assert callers == f"00-{CALLER}-b7ad6b7169203331-00"
        assert await post(gateway, traceparent=f"00-{CALLER}-b7ad6b7169203331-01") == 200
        assert len(await traces.has(3)) == 3


async def test_spans_are_sent_before_a_worker_ends(serve: Serve) -> None:
    async with collector() as traces, stub() as model:
        gateway = await serve(
            configuration(model.url, workers=2), **otel(traces.url, OTEL_BSP_SCHEDULE_DELAY="3600000")
        )
        assert await post(gateway) == 200
        assert not traces.spans
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        assert {span.kind for span in traces.spans} == {"server", "internal", "client"}


@pytest.mark.parametrize("answer", [429, 503, 0])
async def test_a_collector_in_trouble_slows_nobody_and_holds_up_no_end(serve: Serve, answer: int) -> None:
    async with collector(answer) as traces, stub() as model:
        environ = otel(traces.url, OTEL_BSP_MAX_QUEUE_SIZE="5", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="3")
        gateway = await serve(configuration(model.url, workers=1), **environ)
        assert await post(gateway) == 200
        await traces.was_asked()
        began = time.monotonic()
        assert [await post(gateway) for _ in range(20)] == [200] * 20
        assert time.monotonic() - began < 5  # an export takes 10
        async with asyncio.timeout(20):
            while not await gateway.metric("gateway_trace_spans_dropped_total"):
                pass
        gateway.signal(signal.SIGTERM)
        began = time.monotonic()
        assert await gateway.ended() == 0
        assert time.monotonic() - began < 8


async def test_nobody_listens_for_traces(serve: Serve) -> None:
    async with stub() as model:
        gateway = await serve(
            configuration(model.url, workers=1), **otel(closed_port(), OTEL_EXPORTER_OTLP_TIMEOUT="1")
        )
        assert await post(gateway) == 200
        await gateway.logs("Failed to export")
        assert await post(gateway) == 200
        await counts(gateway, "failure", 3)


async def test_a_reload_goes_on_with_the_same_traces(serve: Serve, models: tuple[Model, Model]) -> None:
    async with collector() as traces:
        gateway = await serve(configuration(models[0].url, workers=1), **otel(traces.url))
        assert (await predict(gateway.data))[0] == 200
        await gateway.reload()
        assert (await predict(gateway.data))[0] == 200
        assert len({span.trace_id for span in await traces.has(6)}) == 2


async def test_waiting_for_a_place_is_a_span(serve: Serve) -> None:
    release = asyncio.Event()

    async def slowly(call: Call) -> web.Response:
        await release.wait()
        return web.Response(body=b"{}")

    async with collector() as traces, stub(slowly) as model:
        text = configuration(model.url, workers=1).replace('"}\ngraphs', '", concurrency: {limit: 1}}\ngraphs')
        gateway = await serve(text, **otel(traces.url))
        async with asyncio.TaskGroup() as group:
            group.create_task(post(gateway))
            await model.arrived.acquire()
            group.create_task(post(gateway))
            async with asyncio.timeout(20):
                while await gateway.metric("gateway_queue_depth") < 1:
                    pass
            release.set()
        await traces.has(7)
        (wait,) = traces.named("queue.wait")
        (node,) = [span for span in traces.named("node root") if span.id == wait.parent]
        assert wait.attributes == {"gateway.backend": "m"}
        assert node.trace_id == wait.trace_id
        (call,) = [span for span in traces.named("POST") if span.parent == node.id]
        assert wait.end <= call.start


async def test_a_backend_that_fails_is_an_error_for_the_server_too(serve: Serve) -> None:
    async with collector() as traces, stub(status(400, b"{}")) as model:
        gateway = await serve(configuration(model.url, workers=1), **otel(traces.url))
        assert await post(gateway) == 400
        server, node, call = sorted(await traces.has(3), key=lambda span: span.start)
        assert [span.error for span in (server, node, call)] == [False, False, True]
