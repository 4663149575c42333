"""Graphs at work on real sockets: what fails, what is late, who has gone; and that bodies arrive as they left."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from aiohttp import web

from gateway.config.schema import Backend, Config, Graph, Node, Step
from gateway.telemetry.metrics import Registry, read
from tests.support.loopback import Call, Running, after, closed_port, serving, status, stub

pytestmark = pytest.mark.e2e


def config(kind: Any, *steps: Step, urls: dict[str, str], protocol: Any = "v1", **options: Any) -> Config:
    """One graph, ``g``, one node, and a backend for each URL."""
    backends = {name: Backend(url=url, protocol=protocol) for name, url in urls.items()}
    root = Node(router_type=kind, steps=steps)
    return Config(backends=backends, graphs={"g": Graph(nodes={"root": root}, **options)})


def hard(backend: str, **options: Any) -> Step:
    return Step(backend=backend, dependency="Hard", **options)


def counted(registry: Registry) -> dict[tuple[str, ...], float]:
    return {s.labels: cells[0] for s, cells in read(registry.segment) if s.name == "gateway_requests_total"}


async def until_counted(gateway: Running, *labels: str) -> None:
    """Wait for what the gateway does after the client has stopped listening."""
    async with asyncio.timeout(5.0):
        while not counted(gateway.registry).get(labels):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


# The four nodes.


async def test_a_sequence() -> None:
    async with stub(b'{"predictions":[1.50]}') as a, stub(b'{"predictions":["x"]}') as b:
        steps = Step(backend="a"), Step(backend="b", data="$response", map_predictions_to_instances=True)
        async with serving(config("Sequence", *steps, urls={"a": a.url, "b": b.url})) as gateway:
            answer = await gateway.post("/v1/models/g:predict", b'{"instances":[0]}')
    assert (answer.status, answer.body) == (200, b'{"predictions":["x"]}')
    assert (a.bodies, b.bodies) == ([b'{"instances":[0]}'], [b'{"instances":[1.50]}'])


async def test_a_switch() -> None:
    async with stub(b'"dog"') as a, stub(b'"other"') as b:
        steps = Step(backend="a", condition="kind == 'dog'"), Step(backend="b")
        async with serving(config("Switch", *steps, urls={"a": a.url, "b": b.url})) as gateway:
            dog = await gateway.post("/", b'{"kind":"dog"}')
            other = await gateway.post("/", b"\x00 not json")
        async with serving(config("Switch", steps[0], urls={"a": a.url})) as gateway:
            none = await gateway.post("/", b'{"kind":"cat"}')
    assert (dog.body, dog.header("x-gateway-route")) == (b'"dog"', "root=a")
    assert (other.body, other.header("x-gateway-route")) == (b'"other"', "root=b")
    assert (none.status, none.json["code"], none.json["node"]) == (404, "no_route_matched", "root")


async def test_an_ensemble() -> None:
    async with stub(b'{"p": 1}') as a, stub(status(500, b'{"error":"broken"}')) as b:
        steps = Step(name="one", backend="a"), Step(backend="b"), Step(name="gone", backend="c"), Step(backend="a")
        urls = {"a": a.url, "b": b.url, "c": closed_port()}
        async with serving(config("Ensemble", *steps, urls=urls)) as gateway:
            answer = await gateway.post("/", b"{}")
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert list(answer.json) == ["one", "1", "gone", "3"]
    assert answer.json["1"] == {"error": "broken", "status": 500}
    assert answer.json["gone"]["status"] == 503
    assert answer.json["3"] == {"p": 1}


async def test_a_splitter() -> None:
    async with stub(b'"a"') as a, stub(b'"b"') as b:
        steps = Step(backend="a", weight=3), Step(backend="b", weight=1)
        async with serving(config("Splitter", *steps, urls={"a": a.url, "b": b.url})) as gateway:
            answers = [await gateway.post("/") for _ in range(300)]
    assert abs(len(a.calls) / 300 - 0.75) < 0.13  # five standard deviations
    for answer in answers:
        assert answer.header("x-gateway-route") == f"root={answer.json}"


# Hard and Soft.


async def test_a_hard_failure_of_a_sequence_is_its_answer() -> None:
    async with stub(status(422, b'{"error":"bad"}')) as a, stub() as b:
        async with serving(config("Sequence", hard("a"), hard("b"), urls={"a": a.url, "b": b.url})) as gateway:
            answer = await gateway.post("/")
        assert (answer.status, answer.body) == (422, b'{"error":"bad"}')
        assert answer.header("content-type") == "application/json"
        async with serving(config("Sequence", hard("c"), hard("b"), urls={"c": closed_port(), "b": b.url})) as gateway:
            answer = await gateway.post("/")
        assert (answer.status, answer.json["code"], answer.json["step"]) == (503, "upstream_connect_failure", "c")
    assert b.calls == []


async def test_after_a_soft_failure_the_last_good_answer_goes_on() -> None:
    async with stub(b"[1]") as a, stub(status(500, b"[2]")) as b, stub(b"[3]") as c:
        steps = Step(backend="a"), *(Step(backend=name, data="$response") for name in ("b", "gone", "c"))
        urls = {"a": a.url, "b": b.url, "gone": closed_port(), "c": c.url}
        async with serving(config("Sequence", *steps, urls=urls)) as gateway:
            answer = await gateway.post("/")
    assert answer.body == b"[3]"
    assert (b.bodies, c.bodies) == ([b"[1]"], [b"[1]"])


async def test_the_first_hard_failure_of_an_ensemble_is_its_answer_and_the_rest_is_called_off() -> None:
    async with stub(after(30.0)) as slow, stub(status(409, b'{"error":"no"}')) as bad:
        urls = {"slow": slow.url, "bad": bad.url}
        async with serving(config("Ensemble", Step(backend="slow"), hard("bad"), urls=urls)) as gateway:
            answer = await gateway.post("/")
            await slow.cancelled.wait()
    assert (answer.status, answer.body) == (409, b'{"error":"no"}')


# Time.


@pytest.mark.parametrize("kind", ["Sequence", "Switch", "Ensemble", "Splitter"])
async def test_the_deadline_of_the_graph_reaches_every_step(kind: Any) -> None:
    loop = asyncio.get_running_loop()
    async with stub(after(30.0)) as slow:
        step = hard("slow", weight=1 if kind == "Splitter" else None)
        async with serving(config(kind, step, urls={"slow": slow.url}, timeout=0.2)) as gateway:
            started = loop.time()
            answer = await gateway.post("/")
            taken = loop.time() - started
            await slow.cancelled.wait()
    assert (answer.status, answer.json["code"]) == (504, "upstream_timeout")
    assert (answer.json["graph"], answer.json["node"], answer.json["step"]) == ("g", "root", "slow")
    assert 0.19 < taken < 2.0
    assert 0 < int(slow.calls[0].all("x-request-timeout-ms")[0]) <= 200


@pytest.mark.parametrize(("name", "value"), [("x-request-timeout-ms", "200"), ("grpc-timeout", "200m")])
async def test_a_client_may_shorten_it(name: str, value: str) -> None:
    async with (
        stub(after(30.0)) as slow,
        serving(config("Sequence", Step(backend="s"), urls={"s": slow.url})) as gateway,
    ):
        answer = await gateway.post("/", b"{}", (name, value))
        await slow.cancelled.wait()
    assert answer.status == 504
    (call,) = slow.calls
    assert 0 < int(call.all("x-request-timeout-ms")[0]) <= 200
    assert call.all("grpc-timeout") == []


async def test_what_is_left_is_told_to_each_step() -> None:
    async with stub(after(0.1)) as a, stub() as b:
        steps = Step(backend="a"), Step(backend="b"), Step(backend="b", timeout=0.5)
        async with serving(config("Sequence", *steps, urls={"a": a.url, "b": b.url}, timeout=2.0)) as gateway:
            await gateway.post("/")
    told = [int(call.all("x-request-timeout-ms")[0]) for call in (*a.calls, *b.calls)]
    assert 1500 < told[0] <= 2000
    assert 500 < told[1] <= 1900
    assert 100 < told[2] <= 500


async def test_a_late_step_of_a_soft_ensemble_is_an_error_in_its_place() -> None:
    async with stub(after(30.0)) as slow, stub(b"[1]") as quick:
        steps = Step(name="late", backend="slow", timeout=0.1), Step(name="quick", backend="quick")
        urls = {"slow": slow.url, "quick": quick.url}
        async with serving(config("Ensemble", *steps, urls=urls)) as gateway:
            answer = await gateway.post("/")
            await slow.cancelled.wait()
    assert answer.status == 200
    assert answer.json["late"]["status"] == 504
    assert answer.json["quick"] == [1]


@pytest.mark.parametrize("kind", ["Sequence", "Ensemble"])
async def test_a_client_that_goes_away_calls_its_steps_off(kind: Any) -> None:
    async with stub(after(30.0)) as slow, serving(config(kind, Step(backend="s"), urls={"s": slow.url})) as gateway:
        task = asyncio.create_task(gateway.post("/"))
        await slow.arrived.acquire()
        task.cancel()
        await slow.cancelled.wait()
        await until_counted(gateway, "g", "499", "client_closed_request")
        assert gateway.app.in_flight == 0


# Bodies.

DIGITS = b'{"id":9007199254740993,"big":123456789012345678901234567890,"x":0.10000000000000000000000000001,"y":1E-400}'


async def test_numbers_keep_all_their_digits() -> None:
    one, named = Step(backend="a"), Step(name="n", backend="a")
    mapped = Step(backend="a", data="$response", map_predictions_to_instances=True)
    cases: list[tuple[str, tuple[Step, ...], bytes, bytes]] = [
        ("Sequence", (one, Step(backend="a", data="$response")), DIGITS, DIGITS),
        ("Switch", (Step(backend="a", condition="big"),), DIGITS, DIGITS),
        ("Splitter", (Step(backend="a", weight=1),), DIGITS, DIGITS),
        ("Ensemble", (named, one), DIGITS, b'{"n":%b,"1":%b}' % (DIGITS, DIGITS)),
        ("Sequence", (one, mapped), b'{"predictions":[%b]}' % DIGITS, b'{"instances":[%b]}' % DIGITS),
    ]
    async with stub(lambda call: call.body) as a:
        for kind, steps, sent, expected in cases:
            async with serving(config(kind, *steps, urls={"a": a.url})) as gateway:
                assert (await gateway.post("/", sent)).body == expected


HEAD = b'{"inputs":[{"name":"x","shape":[4],"datatype":"UINT8","parameters":{"binary_data_size":4}}]}'
BINARY = HEAD + b"\x00\xff\r\n"
BINARY_HEADERS = (("content-type", "application/octet-stream"), ("inference-header-content-length", str(len(HEAD))))


@pytest.mark.parametrize("kind", ["Sequence", "Splitter", "Switch"])
async def test_the_binary_tensor_extension_travels_byte_for_byte_both_ways(kind: Any) -> None:
    reply = b'{"outputs":[]}\x00\x80\xfe'

    def infer(call: Call) -> web.Response:
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "14"}
        return web.Response(body=reply, headers=headers)

    async with stub(infer) as model:
        steps = [Step(backend="m", weight=1 if kind == "Splitter" else None)]
        if kind == "Sequence":
            steps.append(Step(backend="m", data="$response"))
        async with serving(config(kind, *steps, urls={"m": model.url}, protocol="v2")) as gateway:
            answer = await gateway.post("/v2/models/g/infer", BINARY, *BINARY_HEADERS)
    assert (answer.body, answer.header("inference-header-content-length")) == (reply, "14")
    assert answer.header("content-type") == "application/octet-stream"
    first, *second = model.calls
    assert first.body == BINARY
    for name, value in BINARY_HEADERS:
        assert first.all(name) == [value]
    for call in second:  # what describes a body travels with it
        assert (call.body, call.all("inference-header-content-length")) == (reply, ["14"])


async def test_a_compressed_body_travels_as_it_came_and_is_read_all_the_same() -> None:
    body = gzip.compress(b'{"kind":"dog"}')

    def echo(call: Call) -> web.Response:
        return web.Response(body=call.body, headers={"Content-Encoding": call.all("content-encoding")[0]})

    async with stub(echo) as a, stub() as b:
        steps = Step(backend="a", condition="kind == 'dog'"), Step(backend="b")
        async with serving(config("Switch", *steps, urls={"a": a.url, "b": b.url})) as gateway:
            answer = await gateway.post("/", body, ("content-encoding", "gzip"))
    assert (answer.body, answer.header("content-encoding")) == (body, "gzip")
    assert a.bodies == [body]


async def test_nothing_is_invented_for_a_client_that_sent_no_headers() -> None:
    async with stub() as model, serving(config("Sequence", Step(backend="m"), urls={"m": model.url})) as gateway:
        await gateway.post("/", b"{}")
    names = [name for name, _ in model.calls[0].headers]
    assert names == ["host", "x-request-id", "x-request-timeout-ms", "content-length"]
