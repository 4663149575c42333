"""Steps with a fallback, as they are built."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from gateway.config.schema import Backend, Config, Fallback, FallbackResponse, Graph, Node, Step
from tests.support.loopback import Call, after, closed_port, serving, stub

RESPONSE = Fallback(response=FallbackResponse(body={"predictions": []}))


def graph(step: Step, kind: Any = "Sequence", **nodes: Node) -> Graph:
    return Graph(nodes={"root": Node(router_type=kind, steps=(step,)), **nodes})


async def test_another_backend_stands_in_and_the_route_tells_it() -> None:
    async with stub(b"[2]") as model:
        config = Config(
            backends={"b": Backend(url=closed_port()), "c": Backend(url=model.url)},
            graphs={"g": graph(Step(backend="b", fallback=Fallback(backend="c")))},
        )
        async with serving(config) as gateway:
            answer = await gateway.post("/v1/models/g:predict")
    assert (answer.status, answer.body) == (200, b"[2]")
    assert answer.header("x-gateway-route") == "root=b~fallback"
    assert [call.target for call in model.calls] == ["/v1/models/c:predict"]


async def test_another_node_stands_in_and_the_route_has_its_branches_too() -> None:
    async with stub(b"[2]") as model:
        spare = Node(router_type="Splitter", steps=(Step(name="c", service_url=model.url, weight=1),))
        step = Step(name="b", service_url=closed_port(), weight=1, fallback=Fallback(node_name="spare"))
        async with serving(Config(graphs={"g": graph(step, "Splitter", spare=spare)})) as gateway:
            answer = await gateway.post("/v1/models/g:predict")
    assert (answer.status, answer.body) == (200, b"[2]")
    assert answer.header("x-gateway-route") == "root=b, root=b~fallback, spare=c"


async def test_an_answer_that_was_written_beforehand() -> None:
    async with serving(Config(graphs={"g": graph(Step(service_url=closed_port(), fallback=RESPONSE))})) as gateway:
        answer = await gateway.post("/v1/models/g:predict")
    assert (answer.status, answer.body) == (200, b'{"predictions":[]}')
    assert answer.header("content-type") == "application/json"


@pytest.mark.parametrize("status", [404, 422, 500, 503])
async def test_answers_of_500_and_above_are_failures_and_others_are_not(status: int) -> None:
    def respond(call: Call) -> web.Response:
        return web.Response(status=status, body=b"own")

    async with stub(respond) as model:
        config = Config(graphs={"g": graph(Step(service_url=model.url, fallback=RESPONSE))})
        async with serving(config) as gateway:
            answer = await gateway.post("/v1/models/g:predict")
    assert (answer.status, answer.body) == ((200, b'{"predictions":[]}') if status >= 500 else (status, b"own"))
    assert (answer.header("x-gateway-route") is not None) == (status >= 500)


async def test_what_stands_in_for_a_late_answer_has_time_left() -> None:
    async with stub(after(5.0)) as slow, stub(b"[2]") as model:
        step = Step(service_url=slow.url, timeout=0.05, fallback=Fallback(node_name="spare"))
        spare = Node(router_type="Sequence", steps=(Step(service_url=model.url),))
        async with serving(Config(graphs={"g": graph(step, spare=spare)})) as gateway:
            answer = await gateway.post("/v1/models/g:predict")
    assert (answer.status, answer.body) == (200, b"[2]")


async def test_a_sequence_goes_on_with_what_stood_in() -> None:
    async with stub(lambda call: call.body) as echo:
        steps = (
            Step(service_url=closed_port(), dependency="Hard", fallback=RESPONSE),
            Step(service_url=echo.url, data="$response"),
        )
        config = Config(graphs={"g": Graph(nodes={"root": Node(router_type="Sequence", steps=steps)})})
        async with serving(config) as gateway:
            assert (await gateway.post("/v1/models/g:predict")).body == b'{"predictions":[]}'


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("spare", [True, False, None])
async def test_a_graph_is_ready_when_the_step_or_its_fallback_is(own: bool, spare: bool | None) -> None:
    async with stub() as model:
        urls = {True: model.url, False: closed_port()}
        fallback = RESPONSE if spare is None else Fallback(backend="c")
        backends = {"b": Backend(url=urls[own]), "c": Backend(url=urls[bool(spare)])}
        config = Config(backends=backends, graphs={"g": graph(Step(backend="b", fallback=fallback))})
        async with serving(config) as gateway:
            assert (await gateway.get("/v1/models/g")).json["ready"] == (own or spare is not False)


async def test_a_graph_speaks_what_its_fallbacks_speak_too() -> None:
    async with stub() as model:
        backends = {"b": Backend(url=model.url, protocol="raw"), "c": Backend(url=model.url, protocol="v2")}
        config = Config(backends=backends, graphs={"g": graph(Step(backend="b", fallback=Fallback(backend="c")))})
        async with serving(config) as gateway:
            assert (await gateway.post("/v1/models/g:predict")).status == 404
            assert (await gateway.post("/v2/models/g/infer")).status == 200
