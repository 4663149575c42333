"""Whole graphs, as kserve/kserve cmd/router/main_test.go has them, from the edge to the calls."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from gateway.errors import Abandoned, UpstreamConnectFailure, UpstreamTimeout
from gateway.graph.kserve import (
    BadUrl,
    CallService,
    KServeEdge,
    KServeEnsemble,
    KServeSequence,
    KServeSplitter,
    KServeSwitch,
)
from gateway.graph.step import Condition, Node
from gateway.message import Response
from gateway.service import Service
from tests.support.clock import run
from tests.support.service import MockService, answer, ask
from tests.support.steps import step


def any_has(member: str, key: str, value: str) -> Condition:
    """gjson's ``member.#(key=="value")``."""

    def condition(found: object) -> bool:
        entries = found.get(member, []) if isinstance(found, dict) else []
        return any(isinstance(entry, dict) and entry.get(key) == value for entry in entries)

    return condition


def call(service: Service, name: str = "m") -> CallService:
    return CallService(f"http://{name}/", service)


def ask_graph(graph: Service, body: bytes) -> Response:
    return run(KServeEdge(graph)(ask(body)))  # type: ignore[arg-type]


def test_simple_model_chainer() -> None:
    first, second = MockService().answers(b'{"predictions":"1"}'), MockService().answers(b'{"predictions":"2"}')
    graph = KServeSequence(
        [step(call(first), "model1", map_predictions=True), step(call(second), "model2", 1, use_response=True)]
    )
    result = ask_graph(graph, b'{"predictions":["test","test2"]}')
    assert (result.status, result.body) == (200, b'{"predictions":"2"}')
    assert result.headers == [(b"content-type", b"application/json")]
    assert first.bodies == [b'{"instances":["test","test2"]}']
    assert second.bodies == [b'{"predictions":"1"}']


def test_simple_model_ensemble() -> None:
    models = MockService().answers(b'{"predictions":"1"}'), MockService().answers(b'{"predictions":"2"}')
    graph = KServeEnsemble([step(call(models[0]), "model1"), step(call(models[1]), "model2", 1)])
    result = ask_graph(graph, b'{"instances":["test","test2"]}')
    assert json.loads(result.body) == {"model1": {"predictions": "1"}, "model2": {"predictions": "2"}}


@pytest.mark.parametrize(("model", "called"), [("2", True), ("1", False)])
def test_inference_graph_with_condition(model: str, called: bool) -> None:
    def labelled(label: str, score: list[float]) -> MockService:
        return MockService().always(answer(json.dumps({"predictions": [{"label": label, "score": score}]}).encode()))

    cat, dog = labelled("cat", [0.1, 0.9]), labelled("dog", [0.8, 0.2])
    beagle, poodle = labelled("beagle", [0.1, 0.9]), labelled("poodle", [0.8, 0.2])
    animals = KServeSwitch(
        [
            step(call(cat), "model1", condition=any_has("instances", "modelId", "1")),
            step(call(dog), "model2", 1, condition=any_has("instances", "modelId", "2")),
        ]
    )
    breeds = KServeEnsemble([step(call(beagle), "model3"), step(call(poodle), "model4", 1)])
    is_dog = any_has("predictions", "label", "dog")
    graph = KServeSequence([step(animals, "step1"), step(breeds, "step2", 1, condition=is_dog)])

    result = ask_graph(graph, json.dumps({"instances": [{"modelId": model}]}).encode())
    assert result.status == 200
    assert json.loads(result.body) == (
        {
            "model3": {"predictions": [{"label": "beagle", "score": [0.1, 0.9]}]},
            "model4": {"predictions": [{"label": "poodle", "score": [0.8, 0.2]}]},
        }
        if called
        else {"predictions": [{"label": "cat", "score": [0.1, 0.9]}]}
    )


def test_inference_graph_sequence_with_unmet_condition() -> None:
    body = b'{"predictions":[{"label":"cat","score":[0.8,0.2]}]}'
    dummy = MockService()
    is_dog = any_has("predictions", "label", "dog")
    graph = KServeSequence(
        [step(call(MockService().answers(body)), "step1"), step(call(dummy), "step2", 1, condition=is_dog)]
    )
    result = ask_graph(graph, b'{"instances":[{"modelId":"1"}]}')
    assert (result.status, result.body, dummy.requests) == (200, body, [])


def test_malformed_url() -> None:
    url = "http://single-1.default.{$your-domain}/switch"
    result = ask_graph(KServeSequence([step(BadUrl(url, 'invalid character "{" in host name'))]), b"")
    assert result.status == 500
    assert json.loads(result.body) == {
        "error": "Failed to process request",
        "cause": f'parse "{url}": invalid character "{{" in host name',
    }


@pytest.mark.parametrize("hard", [False, True])
def test_a_refused_connection_is_a_500_even_for_a_soft_step(hard: bool) -> None:
    refused = MockService().fails(UpstreamConnectFailure("connect to http://m:80 failed: Connection refused"))
    result = ask_graph(KServeSequence([step(call(refused), hard=hard)]), b"{}")
    assert result.status == 500
    assert json.loads(result.body)["cause"] == 'Post "http://m/": dial tcp m:80: connect: connection refused'


@pytest.mark.parametrize("node", [KServeSequence, KServeEnsemble, KServeSplitter])
def test_a_nested_switch_without_a_route_is_a_500(node: Callable[..., Node]) -> None:
    switch = KServeSwitch([step(MockService(), condition=lambda found: False)])
    assert ask_graph(switch, b"{}").status == 404
    result = ask_graph(node([step(switch, weight=100)]), b"{}")  # type: ignore[arg-type]
    assert result.status == 500
    assert json.loads(result.body)["cause"] == "None of the routes matched with the switch condition"


@pytest.mark.parametrize("node", [KServeSequence, KServeEnsemble, KServeSplitter])
def test_server_timeout_closes_without_an_answer(node: Callable[..., Service]) -> None:
    async def scenario() -> None:
        late = MockService().fails(UpstreamTimeout("late"), after=1.0)
        await KServeEdge(node([step(call(late), weight=100)]))(ask(deadline=1.0))

    with pytest.raises(Abandoned):
        run(scenario())


@pytest.mark.parametrize("node", [KServeSequence, KServeEnsemble, KServeSplitter])
def test_a_steps_timeout_two_nodes_up_is_a_500(node: Callable[..., Service]) -> None:
    async def scenario() -> Response:
        late = MockService().fails(UpstreamTimeout("late"), after=1.0)
        inner = node([step(call(late), weight=100)])
        outer = node([step(inner, weight=100, timeout=1.0)])
        return await KServeEdge(node([step(outer, weight=100)]))(ask(deadline=9.0))

    assert json.loads(run(scenario()).body)["cause"] == "context deadline exceeded"


def test_a_graph_200_nodes_deep_works() -> None:
    graph: Service = call(MockService().answers(b'{"a":1}'))
    kinds = (KServeSequence, KServeSplitter, KServeSequence, KServeSwitch)
    for level in range(200):
        inner = step(graph, weight=100, condition=(lambda found: True) if level % 4 == 3 else None)
        graph = kinds[level % 4]([inner])
    assert ask_graph(graph, b"{}").body == b'{"a":1}'
