"""From the nodes of a graph to services: each step with its target, each node with what it needs to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from .api.face import Face
from .api.readiness import Needs, Reachable
from .config import schema
from .config.payload import PayloadLog
from .config.walk import backends, ends, reachable, tails, upwards
from .graph.condition import compile_condition
from .graph.ensemble import Ensemble
from .graph.kserve import KServeEnsemble, KServeSequence, KServeSplitter, KServeSwitch, NoNode
from .graph.sequence import Sequence
from .graph.splitter import Splitter
from .graph.step import Step
from .graph.switch import Switch
from .layers.fallback import Prepared, fallback
from .service import Layer, Service
from .telemetry.metrics import Counter

NODES: dict[str, dict[str, Callable[[Iterable[Step]], Service]]] = {
    "none": {"Sequence": Sequence, "Switch": Switch, "Ensemble": Ensemble, "Splitter": Splitter},
    "kserve": {
        "Sequence": KServeSequence,
        "Switch": KServeSwitch,
        "Ensemble": KServeEnsemble,
        "Splitter": KServeSplitter,
    },
}

Built = tuple[Service, Needs | Reachable]
"""A service, and what must be reachable for it to work."""


class Calls(Protocol):
    """How backends are called; built in compile.py, which knows the layers."""

    backends: dict[str, schema.Backend]

    def logged(self, log: PayloadLog, graph: str, node: str, step: str, /) -> Layer: ...
    def edge(self, name: str, graph: schema.Graph, root: Service, /) -> Service: ...
    def step(self, graph: str, at: tuple[str, str], service: Service, /) -> Service: ...
    def taken(self, graph: str, at: tuple[str, str], /) -> Counter: ...
    def named(self, name: str, graph: schema.Graph, verb: str = "", /, *, streams: bool = False) -> Built: ...
    def url(self, url: str, graph: schema.Graph, /, *, streams: bool = False) -> Built: ...
    def node(self, graph: str, name: str, kind: str, service: Service, /) -> Service: ...


def compile_graph(calls: Calls, name: str, graph: schema.Graph) -> Face:
    """The graph as clients see it."""
    return _Graph(calls, name, graph).face()


class _Graph:
    """One run over one graph of it."""

    def __init__(self, calls: Calls, name: str, graph: schema.Graph) -> None:
        self._calls = calls
        self._name = name
        self._graph = graph
        self._language = graph.condition_language or ("gjson" if graph.compat == "kserve" else "jmespath")
        self._nodes: dict[tuple[str, bool], Built] = {}
        """By name, and by whether they are in tail position: their answer is the graph's, and only the client's."""
        self._backends = backends(graph, reachable(graph))

    def face(self) -> Face:
        calls, graph = self._calls, self._graph
        tail = graph.compat != "kserve"
        uses = tails(graph, tail)
        for name in upwards(graph):
            for use in uses[name]:
                self._nodes[name, use] = self._node(name, graph.nodes[name], use)
        root, needs = self._nodes["root", tail]
        explain = calls.named(graph.explain.backend, graph, "explain", streams=tail)[0] if graph.explain else None
        v1, v2 = self._spoken()
        return Face(
            self._name,
            calls.edge(self._name, graph, root),
            needs.ready if isinstance(needs, Needs) else needs,
            v1,
            v2,
            explain and calls.edge(self._name, graph, explain),
            self._metadata(),
        )

    def _spoken(self) -> tuple[bool, bool]:
        """Whether v1 and whether v2 serve the graph: what it says, else what its backends speak, else both."""
        backends = self._calls.backends
        protocol = self._graph.protocol
        spoken = {backends[name].protocol for name in self._backends} - {"raw"} if protocol is None else {protocol}
        return spoken != {"v2"}, spoken != {"v1"}

    def _metadata(self) -> Service | None:
        """The first v2 backend's."""
        backends = self._calls.backends
        name = next((name for name in self._backends if backends[name].protocol == "v2"), None)
        return None if name is None else self._calls.named(name, self._graph, "metadata")[0]

    def _node(self, name: str, node: schema.Node, tail: bool) -> Built:
        """One node; those that its steps lead to are built already."""
        built = [self._step(name, index, step, tail and ends(node, index)) for index, step in enumerate(node.steps)]
        every = node.router_type in ("Sequence", "Ensemble")
        needs = Needs(every, tuple(need for step, need in built if node.router_type != "Splitter" or step.weight))
        service = NODES[self._graph.compat][node.router_type](step for step, _ in built)
        return self._calls.node(self._name, name, node.router_type, service), needs

    def _step(self, node: str, index: int, step: schema.Step, tail: bool) -> tuple[Step, Needs | Reachable]:
        name = step.name or step.backend or step.node_name or step.service_url or str(index)
        label = f"{node}={name}".encode()
        service, needs = self._backed(step, step.fallback, label, tail) if step.fallback else self._target(step, tail)
        if step.payload_log is not None:
            service = self._calls.logged(step.payload_log, self._name, node, name)(service)
        condition = compile_condition(self._language, step.condition) if step.condition is not None else None
        return (
            Step(
                node=node,
                index=index,
                name=name,
                key=step.name or str(index),
                label=label,
                at=(node, name),
                service=self._calls.step(self._name, (node, name), service),
                taken=self._calls.taken(self._name, (node, name)).cells if self._chooses(node) else None,
                hard=step.dependency == "Hard",
                use_response=step.data == "$response",
                condition=condition,
                skip=step.on_unmet == "skip",
                map_predictions=step.map_predictions_to_instances,
                timeout=step.timeout if step.fallback is None else None,
                weight=step.weight or 0,
            ),
            needs,
        )

    def _chooses(self, node: str) -> bool:
        return self._graph.nodes[node].router_type in ("Splitter", "Switch")

    def _backed(self, step: schema.Step, instead: schema.Fallback, label: bytes, tail: bool) -> Built:
        """A step with its fallback: its own timeout stands inside, and either of them is enough to be ready."""
        service, needs = self._target(step, tail)
        other, others_needs = self._target(instead, tail)
        return fallback(other, label + b"~fallback", step.timeout)(service), Needs(False, (needs, others_needs))

    def _target(self, way: schema.Step | schema.Fallback, tail: bool) -> Built:
        if way.node_name is not None:
            return self._nodes.get((way.node_name, tail)) or (NoNode(), _never)
        if way.backend is not None:
            return self._calls.named(way.backend, self._graph, streams=tail)
        if isinstance(way, schema.Fallback):
            return Prepared(way.response or schema.FallbackResponse()), _always
        return self._calls.url(way.service_url or "", self._graph, streams=tail)


async def _never() -> bool:
    return False


async def _always() -> bool:
    return True
