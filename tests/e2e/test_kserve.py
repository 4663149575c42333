"""KServe's InferenceGraph router from the outside: its own tests first, then the rest of what it does.

Expected: kserve/kserve cmd/router/main.go and main_test.go, whose test each scenario is named after.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from gateway.graph.kserve.sidecar import Mesh
from tests.support.kserve import Json, failed, models, node, router, spec
from tests.support.loopback import Port, Reply, after, closed_port, status, stub
from tests.support.running import RunningGateway, start

pytestmark = pytest.mark.e2e

# KServe's own tests, in its order.


def chainer(m1: str, m2: str) -> Json:
    return node(
        "Sequence",
        {"name": "model1", "serviceUrl": m1, "mapPredictionsToInstances": True},
        {"name": "model2", "serviceUrl": m2, "data": "$response"},
    )


def says(key: str, value: bytes) -> Reply:
    """A model that insists on its input having ``key``."""
    return lambda call: value if key in call.json else web.Response(status=400)


async def test_simple_model_chainer() -> None:
    replies = says("instances", b'{"predictions":"1"}'), says("predictions", b'{"predictions":"2"}')
    async with models(*replies) as (m1, m2), router(root=chainer(m1.url, m2.url)) as gateway:
        answer = await gateway.post("/", b'{"predictions":["test","test2"]}', ("authorization", "Bearer Token"))
    assert (answer.status, answer.body) == (200, b'{"predictions":"2"}')
    assert answer.header("content-type") == "application/json"
    assert m1.bodies == [b'{"instances":["test","test2"]}']
    assert m2.bodies == [b'{"predictions":"1"}']


async def test_simple_model_ensemble() -> None:
    async with models(b'{"predictions":"1"}', b'{"predictions":"2"}') as (m1, m2):
        root = node("Ensemble", {"name": "model1", "serviceUrl": m1.url}, {"name": "model2", "serviceUrl": m2.url})
        async with router(root=root) as gateway:
            answer = await gateway.post("/", b'{"instances":["test","test2"]}')
    assert (answer.status, answer.body) == (200, b'{"model1":{"predictions":"1"},"model2":{"predictions":"2"}}')
    assert m1.bodies == m2.bodies == [b'{"instances":["test","test2"]}']


def labelled(label: str, *score: float) -> bytes:
    return orjson.dumps({"predictions": [{"label": label, "score": score}]})


async def test_inference_graph_with_condition() -> None:
    replies = (
        labelled("cat", 0.1, 0.9),
        labelled("dog", 0.8, 0.2),
        labelled("beagle", 0.1, 0.9),
        labelled("poodle", 0.8, 0.2),
    )
    async with models(*replies) as (m1, m2, m3, m4):
        nodes = {
            "root": node(
                "Sequence",
                {"name": "step1", "nodeName": "animal-categorize"},
                {"name": "step2", "nodeName": "breed-categorize", "condition": 'predictions.#(label=="dog")'},
            ),
            "animal-categorize": node(
                "Switch",
                {"name": "model1", "serviceUrl": m1.url, "condition": 'instances.#(modelId=="1")'},
                {"name": "model2", "serviceUrl": m2.url, "condition": 'instances.#(modelId=="2")'},
            ),
            "breed-categorize": node(
                "Ensemble", {"name": "model3", "serviceUrl": m3.url}, {"name": "model4", "serviceUrl": m4.url}
            ),
        }
        async with router(**nodes) as gateway:
            answer = await gateway.post("/", b'{"instances":[{"modelId":"2"}]}')
    assert answer.status == 200
    assert answer.json == {
        "model3": {"predictions": [{"label": "beagle", "score": [0.1, 0.9]}]},
        "model4": {"predictions": [{"label": "poodle", "score": [0.8, 0.2]}]},
    }
    assert m1.calls == []
    assert m2.bodies == m3.bodies == m4.bodies == [b'{"instances":[{"modelId":"2"}]}']


def unmet(m1: str) -> Json:
    second = {"name": "step2", "serviceUrl": "http://dummy", "condition": 'predictions.#(label=="dog")'}
    return node("Sequence", {"name": "step1", "serviceUrl": m1}, second)


async def test_inference_graph_sequence_with_unmet_condition() -> None:
    async with stub(labelled("cat", 0.8, 0.2)) as m1, router(root=unmet(m1.url)) as gateway:
        answer = await gateway.post("/", b'{"instances":[{"modelId":"1"}]}')
    assert (answer.status, answer.body) == (200, labelled("cat", 0.8, 0.2))


TOKEN = ("authorization", "Bearer Token")


async def arriving(patterns: str | None, *headers: tuple[str, str]) -> list[tuple[str, str]]:
    """The headers that a step is called with, without those of the connection."""
    environ = {} if patterns is None else {"PROPAGATE_HEADERS": patterns}
    async with (
        stub(b'{"predictions":"1"}') as m1,
        router(environ, root=node("Sequence", {"serviceUrl": m1.url})) as gateway,
    ):
        answer = await gateway.post("/", b'{"instances":["test","test2"]}', *headers)
        assert (answer.status, answer.body) == (200, b'{"predictions":"1"}')
    (call,) = m1.calls
    assert (call.method, call.target, call.body) == ("POST", "/", b'{"instances":["test","test2"]}')
    return [field for field in call.headers if field[0] not in ("host", "content-length", "content-type")]


async def test_call_service_when_none_headers_to_propagate_is_empty() -> None:
    assert await arriving(None, TOKEN, ("test-header-key", "Test-Header-Value")) == []


async def test_call_service_when_1_header_to_propagate() -> None:
    found = await arriving("Test-Header-Key", TOKEN, ("test-header-key", "Test-Header-Value"))
    assert found == [("test-header-key", "Test-Header-Value")]


async def test_call_service_when_multiple_headers_to_propagate() -> None:
    found = await arriving("Test-Header-Key,Authorization", TOKEN, ("test-header-key", "Test-Header-Value"))
    assert found == [TOKEN, ("test-header-key", "Test-Header-Value")]


async def test_malformed_url() -> None:
    url = "http://single-1.default.{$your-domain}/switch"
    async with router(root=node("Sequence", {"serviceUrl": url})) as gateway:
        failed(await gateway.post("/", b""), f'parse "{url}": invalid character "{{" in host name')


NUMBERED = [(f"test-header-{number}", f"Test-Header-{number}") for number in (1, 2, 3)]


async def test_call_service_when_multiple_headers_to_propagate_using_patterns() -> None:
    assert await arriving("Test-Header-*,Auth*", TOKEN, *NUMBERED) == [TOKEN, *NUMBERED]


async def test_call_service_when_multiple_headers_to_propagate_using_invalid_pattern() -> None:
    assert await arriving("Test-Header-[0-9,Auth*", TOKEN, *NUMBERED) == [TOKEN]


@pytest.mark.parametrize(
    ("seconds", "delay", "answered"),
    [(None, 0.001, True), (1, 1.0, False), (2, 0.5, True)],
    ids=["default", "timeout", "success"],
)
async def test_server_timeout(seconds: int | None, delay: float, answered: bool) -> None:
    timeouts = None if seconds is None else dict.fromkeys(("serverRead", "serverWrite", "serverIdle"), seconds)
    async with models(after(delay, b'{"predictions":"1"}'), after(delay, b'{"predictions":"2"}')) as (m1, m2):
        root = node(
            "Sequence",
            {"name": "model1", "serviceUrl": m1.url},
            {"name": "model2", "serviceUrl": m2.url, "data": "$response"},
        )
        async with router(timeouts=timeouts, root=root) as gateway:
            if answered:
                answer = await gateway.post("/", b"")
                assert (answer.status, answer.body) == (200, b'{"predictions":"2"}')
                assert m2.bodies == [b'{"predictions":"1"}']
            else:
                with pytest.raises(EOFError):
                    await gateway.post("/", b"")


@pytest.mark.parametrize(("first", "second"), [(20, 80), (30, 70)])
async def test_pickup_route_never_returns_nil(first: int, second: int) -> None:
    """TestPickupRouteNeverReturnsNil, ...AlwaysReturnsRouteForAllRandValues, TestCryptoRandIntUpperBoundWithFix."""
    async with models(b'"a"', b'"b"') as (m1, m2):
        root = node("Splitter", {"serviceUrl": m1.url, "weight": first}, {"serviceUrl": m2.url, "weight": second})
        async with router(root=root) as gateway:
            found = Counter([(await gateway.post("/")).body for _ in range(600)])
    assert sum(found.values()) == found[b'"a"'] + found[b'"b"'] == 600
    assert abs(found[b'"a"'] / 600 - first / 100) < 0.1  # five standard deviations


# The HTTP surface.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("target", ["/", "/v1/models/x:predict?a=b", "/v2", "/v2/health/live", "/readyz/", "/metrics"])
async def test_every_path_and_method_is_the_graph_and_neither_goes_on(method: str, target: str) -> None:
    async with stub(b"[1]") as m1, router(root=node("Sequence", {"serviceUrl": f"{m1.url}/exactly?here"})) as gateway:
        assert (await gateway.call(method, target, b"in")).body == b"[1]"
    (call,) = m1.calls
    assert (call.method, call.target, call.body) == ("POST", "/exactly?here", b"in")


async def test_readyz_never_asks_the_services() -> None:
    async with router(root=node("Sequence", {"serviceUrl": closed_port()})) as gateway:
        ready = await gateway.get("/readyz")
        assert (ready.status, ready.body, ready.header("content-type")) == (200, b"", None)
        gateway.leases.ready = False
        down = await gateway.get("/readyz")
    assert (down.status, down.body, down.header("content-type")) == (
        503,
        b"shutting down\n",
        "text/plain; charset=utf-8",
    )


async def test_unclean_paths_are_moved() -> None:
    async with router(root=node("Ensemble")) as gateway:
        for target, clean in (("//a", "/a"), ("/../", "/"), ("/a/./b?x=1", "/a/b?x=1")):
            answer = await gateway.get(target)
            assert (answer.status, answer.header("location")) == (301, clean)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', "application/json"),
        (b"[]", "application/json"),
        (b'"x"', "application/json"),
        (b"1", "application/json"),
        (b" null\n", "application/json"),
        (b"hello", "text/plain; charset=utf-8"),
        (b"{", "text/plain; charset=utf-8"),
        (b"<html><p>", "text/html; charset=utf-8"),
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\x00\x01", "application/octet-stream"),
        (b"", None),
    ],
)
async def test_an_answer_has_its_status_and_a_content_type_after_its_body(body: bytes, expected: str | None) -> None:
    reply = status(418, body, "text/x-own", Server="own")
    async with stub(reply) as m1, router(root=node("Sequence", {"serviceUrl": m1.url})) as gateway:
        answer = await gateway.post("/")
    assert (answer.status, answer.body, answer.header("content-type")) == (418, body, expected)
    assert {name for name, _ in answer.headers} <= {"content-type", "x-request-id"}


async def test_errors_are_safe_inside_html() -> None:
    async with stub(b"<&>") as m1, router(root=node("Ensemble", {"serviceUrl": m1.url})) as gateway:
        answer = await gateway.post("/")
    cause = rb"invalid character '\u003c' looking for beginning of value"
    assert answer.body == b'{"error":"Failed to process request","cause":"' + cause + b'"}'


# Calls.


async def test_a_service_that_is_not_there() -> None:
    url = closed_port()
    async with router(root=node("Sequence", {"serviceUrl": f"{url}/x"})) as gateway:
        answer = await gateway.post("/")
    failed(answer, f'Post "{url}/x": dial tcp {url.removeprefix("http://")}: connect: connection refused')


async def test_a_service_that_takes_too_long() -> None:
    async with stub(after(30.0)) as m1:
        root = node("Sequence", {"serviceUrl": m1.url})
        async with router(timeouts={"serviceClient": 1}, root=root) as gateway:
            answer = await gateway.post("/")
            await m1.cancelled.wait()
    words = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    failed(answer, f'Post "{m1.url}": {words}')


async def test_every_call_is_json_unless_a_content_type_is_propagated() -> None:
    client = ("content-type", "text/csv")
    for patterns, expected in (
        (None, "application/json"),
        ("Content-Type", "text/csv"),
        ("Accept", "application/json"),
    ):
        environ = {} if patterns is None else {"PROPAGATE_HEADERS": patterns}
        async with stub() as m1, router(environ, root=node("Sequence", {"serviceUrl": m1.url})) as gateway:
            await gateway.post("/", b"a,b", client)
        assert m1.calls[0].all("content-type") == [expected]


EVERYTHING = ["authorization", "x-author", "x-author", "x-request-id", "x-forwarded-for"]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("authorization", []),
        ("(?i)AUTHOR", ["authorization", "x-author", "x-author"]),
        ("X-Request-Id", ["x-request-id"]),
        ("Auth*", ["authorization", "x-author", "x-author"]),
        ("*Trace-Id*", []),
        ("*Trace-Id*,^X-Author$", ["x-author", "x-author"]),
        (" X-Author", []),
        ("", EVERYTHING),
        ("nothing,", EVERYTHING),
    ],
)
async def test_patterns(patterns: str, names: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "gateway")
    client = [TOKEN, ("x-author", "1"), ("x-author", "2"), ("x-request-id", "id-1"), ("x-forwarded-for", "::1")]
    assert [name for name, _ in await arriving(patterns, *client)] == names


async def test_headers_go_to_every_step_of_every_node() -> None:
    async with models(b"{}", b"{}") as (m1, m2):
        nodes = {
            "root": node("Sequence", {"serviceUrl": m1.url}, {"nodeName": "inner", "data": "$response"}),
            "inner": node("Ensemble", {"serviceUrl": m2.url}),
        }
        async with router({"PROPAGATE_HEADERS": "Authorization"}, **nodes) as gateway:
            await gateway.post("/", b"{}", TOKEN)
    assert m1.calls[0].all("authorization") == m2.calls[0].all("authorization") == ["Bearer Token"]


async def test_a_compressed_answer_is_undone() -> None:
    reply = status(200, gzip.compress(b'{"a":1}'), **{"Content-Encoding": "gzip"})
    async with stub(reply) as m1, router(root=node("Ensemble", {"name": "m", "serviceUrl": m1.url})) as gateway:
        answer = await gateway.post("/")
    assert (answer.body, answer.header("content-encoding")) == (b'{"m":{"a":1}}', None)


# The process, in place of KServe's.


@asynccontextmanager
async def process(nodes: Json, **timeouts: int) -> AsyncIterator[tuple[RunningGateway, Port]]:
    listen = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--workers", "1")
    gateway = await start("--graph-json", spec(nodes, routerTimeouts=timeouts), *listen)
    try:
        await gateway.up()
        yield gateway, Port(int(gateway.data.rpartition(":")[2]))
    finally:
        await gateway.close()


async def test_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPAGATE_HEADERS", "Test-Header-*,Auth*")
    async with models(b'{"predictions":"1"}', b'{"predictions":"2"}', after(30.0)) as (m1, m2, slow):
        nodes = {
            "root": node(
                "Switch",
                {"nodeName": "unmet", "condition": "unmet"},
                {"serviceUrl": slow.url, "condition": "slow"},
                {"nodeName": "chain", "condition": "@this"},
            ),
            "chain": chainer(m1.url, m2.url),
            "unmet": unmet(m1.url),
        }
        async with process(nodes, serverWrite=1) as (gateway, port):
            assert (await port.get("/readyz")).status == 200
            answer = await port.post("/", b'{"predictions":["test","test2"]}', TOKEN, ("x-other", "1"))
            assert (answer.status, answer.body) == (200, b'{"predictions":"2"}')
            assert m1.calls[0].json == {"instances": ["test", "test2"]}
            assert m1.calls[0].all("authorization") == m2.calls[0].all("authorization") == ["Bearer Token"]
            assert m1.calls[0].all("x-other") == []
            answer = await port.post("/", b'{"unmet":1}')
            assert (answer.status, answer.body) == (200, b'{"predictions":"1"}')
            with pytest.raises(EOFError):
                await port.post("/", b'{"slow":1}')
            gateway.signal(signal.SIGTERM)
            await gateway.logs(" draining ")
            while (ready := await port.get("/readyz")).status == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # until every worker has heard of it
            assert (ready.status, ready.body) == (503, b"shutting down\n")
            assert (await port.post("/", b'{"unmet":1}')).status == 200
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() in (0, 3)
            with pytest.raises(ConnectionRefusedError):
                await port.get("/readyz")


async def test_a_spec_that_is_no_json_ends_the_process() -> None:
    gateway = await start("--graph-json", "{")
    assert await gateway.ended() == 1


@pytest.mark.parametrize(("code", "method", "sent"), [(302, "GET", b""), (307, "POST", b'{"instances":[1]}')])
async def test_a_redirect_is_followed_to_another_server(code: int, method: str, sent: bytes) -> None:
    async with models(b'{"predictions":[1]}') as (other,):
        moved = status(code, b"", Location=f"{other.url}/new")
        async with models(moved) as (old,), router(root=node("Sequence", {"serviceUrl": old.url})) as gateway:
            for _ in range(2):
                answer = await gateway.post("/", b'{"instances":[1]}')
                assert (answer.status, answer.body) == (200, b'{"predictions":[1]}')
    assert [(call.method, call.target, call.body) for call in other.calls] == [(method, "/new", sent)] * 2


async def test_a_redirect_into_nothing() -> None:
    nowhere = closed_port()
    async with models(status(302, b"", Location=f"{nowhere}/x")) as (old,):
        root = node("Sequence", {"serviceUrl": old.url})
        async with router(root=root) as gateway:
            answer = await gateway.post("/")
    failed(answer, f'Post "{nowhere}/x": dial tcp {nowhere[7:]}: connect: connection refused')


async def test_in_a_mesh_the_sidecar_encrypts(monkeypatch: pytest.MonkeyPatch) -> None:
    async with models(b"{}", b'{"predictions":[1]}') as (sidecar, model):
        monkeypatch.setattr("gateway.leases.Mesh", lambda: Mesh(int(sidecar.url.rpartition(":")[2])))
        url = model.url.replace("http:", "https:")
        async with router(root=node("Sequence", {"serviceUrl": f"{url}/x"})) as gateway:
            for _ in range(2):
                answer = await gateway.post("/")
    assert answer.body == b'{"predictions":[1]}'
    assert [call.target for call in model.calls] == ["/x", "/x"]
    assert [(call.method, call.target) for call in sidecar.calls] == [("GET", "/")]
