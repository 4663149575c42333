from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson
import pytest
from aiohttp import web
from msgspec import structs

from gateway.app import App
from gateway.compile import compile_app
from gateway.config.backend import Concurrency, Fault, FaultAbort
from gateway.config.batch import Batch
from gateway.config.schema import (
    Backend,
    BackendTls,
    Config,
    Explain,
    Graph,
    HeaderRules,
    Limits,
    Node,
    Server,
    Step,
)
from gateway.config.telemetry import Telemetry
from gateway.leases import Leases
from gateway.message import Request, Response
from gateway.telemetry.metrics import Registry, read
from gateway.telemetry.names import BOUNDS, METRICS
from tests.support.loopback import Call, after, closed_port, serving, stub


def sequence(*steps: Step, **options: Any) -> Graph:
    return Graph(nodes={"root": Node(router_type="Sequence", steps=steps)}, **options)


def one(backend: Backend, **options: Any) -> Config:
    """One graph, ``g``, which is one backend, ``b``."""
    return Config(backends={"b": backend}, graphs={"g": sequence(Step(backend="b"), **options)})


def echo(call: Call) -> bytes:
    """What the model server was asked, as its answer."""
    return orjson.dumps([call.method, call.target])


async def reached(config: Config, target: str = "/v1/models/g:predict", method: str = "POST") -> list[str]:
    """Method and target that came to the backend."""
    async with serving(config) as gateway:
        answer = await gateway.call(method, target, b"{}")
        assert answer.status == 200, answer
        found: list[str] = answer.json
        return found


# Where backends are called.


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, "/v1/models/b:predict"),
        ({"model": "iris"}, "/v1/models/iris:predict"),
        ({"model": "a:7b"}, "/v1/models/a%3A7b:predict"),
        ({"protocol": "v2"}, "/v2/models/b/infer"),
        ({"protocol": "v2", "model": "iris"}, "/v2/models/iris/infer"),
        ({"protocol": "raw", "path": "/predictions/iris?v=1"}, "/predictions/iris?v=1"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/", "/team/a", "/team/a/"])
async def test_a_backend_is_called_as_its_protocol_says_below_its_prefix(
    options: dict[str, Any], target: str, prefix: str
) -> None:
    async with stub(echo) as model:
        config = one(Backend(url=model.url + prefix, **options), protocol="v1")
        assert await reached(config) == ["POST", prefix.rstrip("/") + target]
        assert await reached(config, "/any/path", "PUT") == ["POST", prefix.rstrip("/") + target]


@pytest.mark.parametrize("prefix", ["", "/", "/team/a", "/team/a/"])
async def test_raw_without_a_path_keeps_the_clients_method_path_and_query(prefix: str) -> None:
    async with stub(echo) as model:
        config = one(Backend(url=model.url + prefix, protocol="raw"))
        for method, target in (("PUT", "/a%20b/c?x=1&y=%2F"), ("DELETE", "/"), ("POST", "/v1/models/g:predict")):
            assert await reached(config, target, method) == [method, prefix.rstrip("/") + target]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("", "/"),
        ("/", "/"),
        ("/exactly/here", "/exactly/here"),
        ("/here/?x=%2F&y", "/here/?x=%2F&y"),
        ("?x=1", "/?x=1"),
    ],
)
@pytest.mark.parametrize("compat", ["none", "kserve"])
async def test_a_service_url_is_called_exactly_there(url: str, target: str, compat: str) -> None:
    async with stub(echo) as model:
        config = Config(graphs={"g": sequence(Step(service_url=model.url + url), compat=compat)})
        assert await reached(config, "/other?z=2", "GET") == ["POST", target]


async def test_a_backend_on_a_unix_socket_is_called_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "model.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nhost: localhost\r\n" in head
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + orjson.dumps(head.decode().split()[:2]))
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        assert await reached(one(Backend(url=f"unix:{path}"))) == ["POST", "/v1/models/b:predict"]


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, "/v1/models/why:explain"),
        ({"model": "m"}, "/v1/models/m:explain"),
        ({"protocol": "v2"}, "/v2/models/why/infer"),
        ({"protocol": "raw", "path": "/why"}, "/why"),
    ],
)
async def test_explain_goes_to_its_own_backend(options: dict[str, Any], target: str) -> None:
    async with stub(b"[1]") as model, stub(echo) as explainer:
        config = Config(
            backends={"b": Backend(url=model.url), "why": Backend(url=explainer.url, **options)},
            graphs={"g": sequence(Step(backend="b"), explain=Explain(backend="why"))},
        )
        assert await reached(config, "/v1/models/g:explain") == ["POST", target]
        assert model.calls == []


async def test_metadata_comes_from_the_first_v2_backend() -> None:
    def describe(call: Call) -> bytes:
        return orjson.dumps({"name": "b", "platform": call.method + call.target})

    async with stub() as old, stub(describe) as model:
        config = Config(
            backends={"a": Backend(url=old.url), "b": Backend(url=model.url + "/p", protocol="v2", model="x")},
            graphs={"g": sequence(Step(backend="a"), Step(backend="b"), protocol="both")},
        )
        async with serving(config) as gateway:
            answer = await gateway.get("/v2/models/g")
    assert answer.json == {"name": "g", "platform": "GET/p/v2/models/x"}
    assert old.calls == []


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://a{b}/x", 'parse "http://a{b}/x": invalid character "{" in host name'),
        ("http://a:99999/", 'parse "http://a:99999/": Port out of range 0-65535'),
        ("a:80/x", 'Post "a:80/x": unsupported protocol scheme "a"'),
    ],
)
async def test_a_url_that_kserve_could_not_call_is_an_error_when_it_is_called(url: str, cause: str) -> None:
    config = Config(graphs={"g": sequence(Step(service_url=url), compat="kserve")})
    async with serving(config) as gateway:
        assert (await gateway.get("/v1/models/g")).json["ready"] is False
        answer = await gateway.post("/")
    assert (answer.status, answer.json) == (500, {"error": "Failed to process request", "cause": cause})


async def test_what_a_request_line_cannot_hold_is_encoded() -> None:
    async with stub(echo) as model:
        url = model.url + "/a b/{x}?q=a b&ü=[1]"
        config = Config(graphs={"g": sequence(Step(service_url=url), compat="kserve")})
        assert await reached(config) == ["POST", "/a%20b/%7Bx%7D?q=a%20b&%C3%BC=[1]"]


# Which API serves a graph.


@pytest.mark.parametrize(
    ("protocols", "said", "v1", "v2"),
    [
        (["v1"], None, 200, 404),
        (["v2"], None, 404, 200),
        (["raw"], None, 200, 200),
        (["v1", "raw"], None, 200, 404),
        (["raw", "v2"], None, 404, 200),
        (["v1"], "v2", 404, 200),
        (["v1", "v2"], "both", 200, 200),
        (["v2"], "both", 200, 200),
    ],
)
async def test_a_graph_is_served_by_what_it_says_or_what_its_backends_speak(
    protocols: list[Any], said: Any, v1: int, v2: int
) -> None:
    async with stub() as model:
        backends = {name: Backend(url=model.url, protocol=name) for name in protocols}
        graph = sequence(*(Step(backend=name) for name in protocols), protocol=said)
        async with serving(Config(backends=backends, graphs={"g": graph})) as gateway:
            assert (await gateway.post("/v1/models/g:predict")).status == v1
            assert (await gateway.post("/v2/models/g/infer")).status == v2


@pytest.mark.parametrize(
    ("graphs", "default", "answering"),
    [(["a"], None, "a"), (["a", "b"], "b", "b"), (["a", "b"], None, None), ([], None, None)],
)
async def test_the_default_graph_is_the_one_named_or_the_only_one(
    graphs: list[str], default: str | None, answering: str | None
) -> None:
    async with stub(lambda call: call.target.encode()) as model:
        config = Config(
            backends={name: Backend(url=model.url, protocol="raw", path=f"/{name}") for name in graphs},
            graphs={name: sequence(Step(backend=name)) for name in graphs},
            default_graph=default,
        )
        async with serving(config) as gateway:
            answer = await gateway.post("/anything")
    expected = (404, None) if answering is None else (200, b"/" + answering.encode())
    assert (answer.status, answer.body if answering else None) == expected


async def test_as_kserves_router_every_path_but_readyz_is_the_graph() -> None:
    async with stub(b"[1]") as model:
        config = Config(graphs={"graph": sequence(Step(service_url=model.url), compat="kserve")}, router=True)
        async with serving(config) as gateway:
            for target in ("/", "/v1/models", "/v2/health/live", "/v1/models/other:predict"):
                assert (await gateway.get(target)).body == b"[1]"
            assert (await gateway.get("/readyz")).status == 200
            gateway.leases.ready = False
            assert (await gateway.get("/readyz")).status == 503
            assert (await gateway.get("/")).status == 200


# Readiness.


@pytest.mark.parametrize(
    ("kind", "steps", "ready"),
    [
        ("Sequence", ["up", "up"], True),
        ("Sequence", ["up", "down"], False),
        ("Ensemble", ["up", "down"], False),
        ("Switch", ["up", "down"], True),
        ("Switch", ["down", "down"], False),
        ("Splitter", ["up", "down"], True),
        ("Splitter", ["down", "unused"], False),
    ],
)
async def test_a_graph_is_ready_when_the_backends_it_cannot_do_without_are_reachable(
    kind: Any, steps: list[str], ready: bool
) -> None:
    async with stub() as model:
        down = closed_port()
        backends = {"up": Backend(url=model.url), "down": Backend(url=down), "unused": Backend(url=model.url)}
        weights = {"up": 1, "down": 1, "unused": 0}
        chosen = tuple(Step(backend=name, weight=weights[name] if kind == "Splitter" else None) for name in steps)
        graph = Graph(
            nodes={
                "root": Node(router_type="Sequence", steps=(Step(node_name="inner"),)),
                "inner": Node(router_type=kind, steps=chosen),
            }
        )
        async with serving(Config(backends=backends, graphs={"g": graph})) as gateway:
            answer = await gateway.get("/v1/models/g")
            assert (answer.status, answer.json) == (200 if ready else 503, {"name": "g", "ready": ready})
            assert (await gateway.get("/v2/health/ready")).status == (200 if ready else 503)


async def test_a_node_that_several_steps_lead_to_is_built_once() -> None:
    async with stub(echo) as model:
        steps = tuple(Step(name=str(index), node_name="leaf") for index in range(3))
        graph = Graph(
            nodes={
                "root": Node(router_type="Ensemble", steps=steps),
                "leaf": Node(router_type="Sequence", steps=(Step(backend="b"),)),
                "nowhere": Node(router_type="Sequence", steps=(Step(backend="unused"),)),
            }
        )
        backends = {"b": Backend(url=model.url), "unused": Backend(url=closed_port())}
        async with serving(Config(backends=backends, graphs={"g": graph})) as gateway:
            answer = await gateway.post("/v1/models/g:predict")
            assert answer.json == {key: ["POST", "/v1/models/b:predict"] for key in "012"}
            assert [one["backend"] for one in gateway.app.describe()] == ["b"]


# Headers.


async def test_rules_of_all_levels_reach_the_backend() -> None:
    async with stub() as model:
        config = Config(
            server=Server(headers=HeaderRules(propagate=("^x-a$",), set={"x-by": "server", "x-s": "1"})),
            backends={"b": Backend(url=model.url, headers=HeaderRules(set={"x-by": "backend"}, remove=("x-s",)))},
            graphs={"g": sequence(Step(backend="b"), headers=HeaderRules(propagate=("^x-b$",)))},
        )
        async with serving(config) as gateway:
            sent = (("x-a", "1"), ("x-b", "2"), ("content-type", "application/json"), ("x-request-timeout-ms", "5000"))
            await gateway.post("/", b"{}", *sent)
    (call,) = model.calls
    assert call.headers[:5] == [
        ("host", model.url.removeprefix("http://")),
        ("x-b", "2"),
        ("content-type", "application/json"),
        ("x-by", "backend"),
        ("x-request-timeout-ms", call.all("x-request-timeout-ms")[0]),
    ]
    assert 4000 < int(call.all("x-request-timeout-ms")[0]) <= 5000
    assert call.headers[5:] == [("content-length", "2")]


async def test_every_step_sees_the_same_x_forwarded_for() -> None:
    async with stub() as model:
        config = Config(
            server=Server(headers=HeaderRules(propagate=("^x-forwarded-for$",))),
            backends={"b": Backend(url=model.url)},
            graphs={"g": sequence(Step(backend="b"), Step(backend="b"), Step(backend="b", timeout=5.0))},
        )
        async with serving(config) as gateway:
            await gateway.post("/", b"{}", ("x-forwarded-for", "203.0.113.1"))
    assert [call.all("x-forwarded-for") for call in model.calls] == [["203.0.113.1, 127.0.0.1"]] * 3


async def test_an_answer_in_tail_position_keeps_its_headers_but_not_the_connections() -> None:
    async def reader(client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await client.readuntil(b"\r\n\r\n{}")
        head = b"HTTP/1.1 418 Teapot\r\nserver: m\r\nset-cookie: a\r\nset-cookie: b\r\nkeep-alive: 5\r\nx-hop: 1\r\n"
        writer.write(head + b"connection: close, x-hop\r\nx-request-id: theirs\r\nx-gateway-route: x\r\n\r\ntea")
        writer.close()

    async with await asyncio.start_server(reader, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with serving(one(Backend(url=url))) as gateway:
            answer = await gateway.post("/", b"{}", ("x-request-id", "id-1"))
    assert (answer.status, answer.body) == (418, b"tea")
    assert answer.headers == [("server", "m"), ("set-cookie", "a"), ("set-cookie", "b"), ("x-request-id", "id-1")]


# Errors, limits and metrics.


async def test_an_error_names_graph_node_and_step() -> None:
    async with serving(one(Backend(url=closed_port()))) as gateway:
        answer = await gateway.post("/v1/models/g:predict", b"{}", ("x-request-id", "id-1"))
    assert answer.status == 503
    assert answer.header("content-type") == "application/problem+json"
    assert answer.header("retry-after") == "1"
    found = answer.json
    assert found["code"] == "upstream_connect_failure"
    assert [found[name] for name in ("graph", "node", "step", "requestId")] == ["g", "root", "b", "id-1"]


async def test_all_graphs_share_max_in_flight() -> None:
    free = asyncio.Event()

    async def held(call: Call) -> web.Response:
        await free.wait()
        return web.Response(body=b"[]")

    async with stub(held) as model:
        config = Config(
            server=Server(limits=Limits(max_in_flight=2)),
            backends={"b": Backend(url=model.url)},
            graphs={name: sequence(Step(backend="b")) for name in ("g", "h")},
        )
        async with serving(config) as gateway:
            waiting = [asyncio.create_task(gateway.post(f"/v1/models/{name}:predict", b"{}")) for name in ("g", "h")]
            for _ in waiting:
                await model.arrived.acquire()
            refused = await gateway.post("/v1/models/g:predict")
            assert (refused.status, refused.json["code"], refused.header("retry-after")) == (503, "overload", "1")
            assert (await gateway.get("/v2/health/live")).status == 200
            free.set()
            assert [(await task).status for task in waiting] == [200, 200]
            assert (await gateway.post("/v1/models/g:predict")).status == 200


@pytest.mark.parametrize(("limit", "workers", "places"), [(4, 1, 4), (4, 2, 2), (5, 2, 3), (1, 4, 1)])
async def test_workers_divide_max_in_flight(limit: int, workers: int, places: int) -> None:
    async with worker() as (leases, registry), stub(after(60.0)) as model:
        config = msgspec.structs.replace(one(Backend(url=model.url)), server=Server(limits=Limits(max_in_flight=limit)))
        app = compile_app(config, leases, registry, workers)
        waiting = [asyncio.create_task(asked(app)) for _ in range(places)]
        for _ in waiting:
            await model.arrived.acquire()
        assert (await asked(app)).status == 503
        for task in waiting:
            task.cancel()
        await app.retire()


async def asked(app: App) -> Response:
    return await app(Request(b"POST", b"/", [], b"{}"))


async def test_requests_are_counted_at_both_seams() -> None:
    async with stub() as model, serving(one(Backend(url=model.url))) as gateway:
        await gateway.post("/v1/models/g:predict")
        found = {(s.name, s.labels): cells[0] for s, cells in read(gateway.registry.segment) if s.kind == "counter"}
    assert found["gateway_requests_total", ("g", "200", "success")] == 1.0
    assert found["gateway_upstream_requests_total", ("b", "200")] == 1.0


# Generations.


@asynccontextmanager
async def worker() -> AsyncIterator[tuple[Leases, Registry]]:
    leases = Leases()
    yield leases, Registry.private()
    await leases.close()


def described(app: App) -> list[Any]:
    return [(one["backend"], one["idle"]) for one in app.describe()]


async def test_pools_that_do_not_change_live_on_and_the_others_end_with_their_last_generation() -> None:
    async with worker() as (leases, registry), stub() as model, stub() as other:
        old = compile_app(one(Backend(url=model.url)), leases, registry)
        await asked(old)
        new = compile_app(one(Backend(url=model.url), timeout=5.0), leases, registry)
        assert described(new) == [("b", 1)]
        await old.retire()
        assert described(new) == [("b", 1)]
        moved = compile_app(one(Backend(url=other.url)), leases, registry)
        assert described(moved) == [("b", 0)]
        await new.retire()
        assert [pool.origin.port for pool in leases.sweeper.pools] == [int(other.url.rpartition(":")[2])]
        await moved.retire()
        assert not leases.sweeper.pools


async def test_requests_in_flight_finish_on_the_old_generation() -> None:
    free = asyncio.Event()

    async def held(call: Call) -> web.Response:
        await free.wait()
        return web.Response(body=b"old")

    async with worker() as (leases, registry), stub(held) as model:
        old = compile_app(one(Backend(url=model.url)), leases, registry)
        request = asyncio.create_task(asked(old))
        await model.arrived.acquire()
        retiring = asyncio.create_task(old.retire())
        await asyncio.sleep(0)
        assert not retiring.done()
        free.set()
        assert (await request).body == b"old"
        await retiring
        assert not leases.sweeper.pools


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_compile_that_fails_leaves_nothing_leased(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    tls = Backend(url="https://127.0.0.1:1", tls=BackendTls(ca_file=str(file)))
    async with worker() as (leases, registry), stub() as model:
        good = one(Backend(url=model.url))
        serving_now = compile_app(good, leases, registry)
        backends = {"b": good.backends["b"], "c": Backend(url=closed_port()), "d": tls}
        bad = Config(backends=backends, graphs={"g": sequence(*(Step(backend=name) for name in "bcd"))})
        with pytest.raises((OSError, ssl.SSLError)):
            compile_app(bad, leases, registry)
        assert len(leases.sweeper.pools) == 1
        assert (await asked(serving_now)).status == 200
        await serving_now.retire()
        assert not leases.sweeper.pools


# Metrics.


@pytest.mark.parametrize("buckets", ["default", "native"])
async def test_all_durations_have_the_buckets_of_the_configuration(buckets: Literal["default", "native"]) -> None:
    backend = Backend(url=closed_port(), batch=Batch(), concurrency=Concurrency(limit=1), hold=1.0)
    telemetry = Telemetry(buckets=buckets, overhead_metrics=True, step_metrics=True)
    async with serving(structs.replace(one(backend), telemetry=telemetry)) as gateway:
        found = {series.name: series.bounds for series, _ in read(gateway.registry.segment) if series.bounds}
    counted = {"gateway_batch_size", "gateway_batch_requests"}
    durations = {name for name, metric in METRICS.items() if metric.kind == "histogram"} - counted
    assert found.keys() - counted == durations - {"gateway_event_loop_lag_seconds"}
    assert {found[name] for name in found.keys() - counted} == {BOUNDS[buckets]}


# Failures on purpose.


async def test_a_fault_stands_in_for_the_backend_and_is_counted_as_its_answer() -> None:
    async with stub(echo) as model:
        broken = Backend(url=model.url, fault=Fault(abort=FaultAbort(status=503)))
        async with serving(one(broken)) as gateway:
            answer = await gateway.post("/v1/models/g:predict")
            assert (answer.status, answer.json["code"]) == (503, "fault_injected")
            assert not model.calls
            counted = {(series.name, *series.labels): cells[0] for series, cells in read(gateway.registry.segment)}
            assert counted["gateway_upstream_requests_total", "b", "503"] == 1
            assert counted["gateway_faults_injected_total", "b", "abort"] == 1


async def test_without_a_fault_there_is_no_trace_of_it() -> None:
    async with stub(echo) as model, serving(one(Backend(url=model.url))) as gateway:
        await gateway.post("/v1/models/g:predict")
        assert not [series for series, _ in read(gateway.registry.segment) if "fault" in series.name]
