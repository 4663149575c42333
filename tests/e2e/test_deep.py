"""Graphs far larger than anybody's: as deep as a configuration may be, and as wide, and with a thousand nodes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.check import check
from gateway.config.check_graph import DEEPEST
from gateway.config.report import Report
from gateway.config.schema import Backend, Config, Graph, Node, Step
from tests.support.kserve import node as kserve_node
from tests.support.kserve import router
from tests.support.loopback import closed_port, serving, stub

pytestmark = pytest.mark.e2e

KINDS = ["Sequence", "Switch", "Ensemble", "Splitter"]


def node(kind: Any, *steps: Step) -> Node:
    return Node(router_type=kind, steps=steps)


def step(kind: str, **target: Any) -> Step:
    return Step(weight=1 if kind == "Splitter" else None, **target)


def deep(kinds: list[str], levels: int) -> Graph:
    """Nodes of these kinds in turn, each inside the one before it."""
    nodes = {"root": node("Sequence", Step(node_name="n1"))}
    for level in range(1, levels):
        kind = kinds[level % len(kinds)]
        target = {"backend": "b"} if level == levels - 1 else {"node_name": f"n{level + 1}"}
        nodes[f"n{level}"] = node(kind, step(kind, **target))
    return Graph(nodes=nodes, timeout=10.0)


def checked(graph: Graph, url: str) -> Config:
    config = Config(backends={"b": Backend(url=url)}, graphs={"g": graph})
    report = Report("test")
    check(config, report)
    assert report.errors == []
    return config


def leaf(found: Any) -> Any:
    while "0" in found:
        found = found["0"]
    return found


@pytest.mark.parametrize("levels", [200, DEEPEST])
@pytest.mark.parametrize("kinds", [KINDS, *([kind] for kind in KINDS)], ids=["all", *KINDS])
async def test_a_deep_graph_answers_is_ready_and_fails_properly(kinds: list[str], levels: int) -> None:
    graph = deep(kinds, levels)
    async with stub(b'{"a":1}') as model, serving(checked(graph, model.url)) as gateway:
        answer = await gateway.post("/v1/models/g:predict")
        assert (answer.status, leaf(answer.json)) == (200, {"a": 1}), answer
        assert (await gateway.get("/v1/models/g")).status == 200
    async with serving(checked(graph, closed_port())) as gateway:
        answer = await gateway.post("/v1/models/g:predict")
        if "Ensemble" not in kinds:
            assert (answer.status, answer.json["code"]) == (503, "upstream_connect_failure")
        assert (await gateway.get("/v1/models/g")).status == 503


@pytest.mark.parametrize("kind", KINDS)
async def test_a_graph_200_steps_wide(kind: str) -> None:
    steps = [step(kind, name=f"s{index}", backend="b") for index in range(200)]
    async with stub(b'{"a":1}') as model:
        graph = Graph(nodes={"root": node(kind, *steps)}, timeout=10.0)
        if kind == "Switch":
            steps[:-1] = [Step(name=one.name, backend="b", condition="a == `2`") for one in steps[:-1]]
            graph = Graph(nodes={"root": node(kind, *steps)})
        async with serving(checked(graph, model.url)) as gateway:
            answer = await gateway.post("/v1/models/g:predict")
        assert answer.status == 200
        if kind == "Ensemble":
            assert answer.json == {f"s{index}": {"a": 1} for index in range(200)}
        assert len(model.calls) == (200 if kind in ("Sequence", "Ensemble") else 1)


async def test_a_graph_of_1000_nodes() -> None:
    nodes = {"root": node("Ensemble", *(Step(name=f"m{one}", node_name=f"m{one}") for one in range(27)))}
    for one in range(27):
        steps = (step("Splitter", node_name=f"l{one}-{two}") for two in range(36))
        nodes[f"m{one}"] = node("Splitter", *steps)
        nodes |= {f"l{one}-{two}": node("Sequence", Step(backend="b")) for two in range(36)}
    assert len(nodes) == 1000
    async with stub(b'{"a":1}') as model, serving(checked(Graph(nodes=nodes), model.url)) as gateway:
        answer = await gateway.post("/v1/models/g:predict")
        assert answer.json == {f"m{one}": {"a": 1} for one in range(27)}
        route = answer.header("x-gateway-route")
        assert route is not None
        assert len(route.split(", ")) == 27


@pytest.mark.parametrize("kind", KINDS)
async def test_kserves_nodes_are_as_deep(kind: str) -> None:
    async with stub(b'{"a":1}') as model:
        nodes = {"root": kserve_node(kind, {"nodeName": "n1", "weight": 100, "condition": condition(kind)})}
        for level in range(1, 200):
            target = {"serviceUrl": model.url} if level == 199 else {"nodeName": f"n{level + 1}"}
            nodes[f"n{level}"] = kserve_node(kind, target | {"weight": 100, "condition": condition(kind)})
        async with router(**nodes) as gateway:
            answer = await gateway.post("/", b'{"b":2}')
    assert (answer.status, leaf(answer.json)) == (200, {"a": 1})


def condition(kind: str) -> str:
    return "@this" if kind == "Switch" else ""
