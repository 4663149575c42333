"""Rules for the nodes of a graph: what native mode asks of its steps, and the structure that every graph must have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from . import addresses
from .check_fallback import check_fallback
from .report import Path, Report, suggestion
from .schema import Backend, Graph, Node, Step
from .walk import backends as backends_of
from .walk import cycle, depth, reachable, ways

DEEPEST = 250
"""Nodes inside each other: a request takes two Python frames for each, out of a thousand that there are for all."""

ROOT_MISSING = "root node not found, InferenceGraph needs a node with name 'root' as the root node of the graph"


def check_native(graph: Graph, path: Path, report: Report) -> None:
    """The rules that KServe does not have, or has otherwise."""
    for name, node in graph.nodes.items():
        place: Path = (*path, "nodes", name)
        if not report.broken((*place, "routerType")):
            _node(node, place, report)
        for index, step in enumerate(node.steps):
            _step(step, (*place, "steps", index), report)


def _node(node: Node, path: Path, report: Report) -> None:
    _unique(node, path, report)
    if not node.steps:
        report.conflict((*path, "steps") if report.broken((*path, "steps")) else path, "a node needs at least one step")
    if node.router_type == "Splitter":
        _splitter(node, path, report)
    if node.router_type == "Switch":
        _switch(node, path, report)
    for index, step in enumerate(node.steps):
        _fits(node.router_type, step, (*path, "steps", index), report)


def _unique(node: Node, path: Path, report: Report) -> None:
    """Names of steps, and in an Ensemble also the indices that stand in for missing ones."""
    seen: set[str] = set()
    for index, step in enumerate(node.steps):
        key = step.name or (str(index) if node.router_type == "Ensemble" else "")
        if key and key in seen:
            report.conflict((*path, "steps", index, "name"), f"another step of the node is already called '{key}'")
        seen.add(key)


def _splitter(node: Node, path: Path, report: Report) -> None:
    for index, step in enumerate(node.steps):
        if step.weight is None:
            report.conflict((*path, "steps", index), "a step of a Splitter needs a 'weight'")
    weights = [step.weight for step in node.steps if step.weight is not None]
    if weights and not any(weights):
        report.conflict(path, "at least one weight of a Splitter must be more than 0")


def _switch(node: Node, path: Path, report: Report) -> None:
    for index, step in enumerate(node.steps[:-1]):
        if step.condition is None:
            message = "a step without a condition is the default of its Switch and must come last"
            report.conflict((*path, "steps", index), message)


def _fits(kind: str, step: Step, path: Path, report: Report) -> None:
    """Keys that mean nothing in a node of this kind are mistakes."""
    sequence = kind == "Sequence"
    found: dict[str, str | None] = {
        "weight": "only a step of a Splitter has a weight" if step.weight is not None and kind != "Splitter" else None,
        "condition": "only a step of a Sequence or a Switch has a condition"
        if step.condition is not None and kind not in ("Sequence", "Switch")
        else None,
        "onUnmet": "only a step of a Sequence with a condition can be skipped"
        if step.on_unmet == "skip" and not (sequence and step.condition is not None)
        else None,
        "data": "only a step of a Sequence has data" if step.data == "$response" and not sequence else None,
        "mapPredictionsToInstances": "only a step of a Sequence can map predictions to instances"
        if step.map_predictions_to_instances and not sequence
        else None,
    }
    for key, message in found.items():
        if message is not None:
            report.conflict((*path, key), message)
    if sequence and step.data == "$response" and path[-1] == 0:
        report.conflict((*path, "data"), "the first step has no previous answer: write data: $request")


def _step(step: Step, path: Path, report: Report) -> None:
    _target(step, path, report)
    if step.data not in ("$request", "$response"):
        hint = suggestion(step.data, ("$request", "$response"))
        report.conflict((*path, "data"), f"expected $request or $response, got '{step.data}'{hint}")
    if step.timeout == 0:
        report.conflict((*path, "timeout"), "must be at least 1ms: with 0 no request could succeed")
    if step.service_url is not None and (message := addresses.bad_url(step.service_url)):
        report.conflict((*path, "serviceUrl"), message)


def _target(step: Step, path: Path, report: Report) -> None:
    targets = {"nodeName": step.node_name, "backend": step.backend, "serviceUrl": step.service_url}
    given = [name for name, target in targets.items() if target is not None]
    if not given:
        report.conflict(path, "a step needs one of nodeName, backend and serviceUrl")
    elif len(given) > 1:
        report.conflict(path, f"a step has exactly one of nodeName, backend and serviceUrl; this one has {_and(given)}")


def check_structure(
    graph: Graph, backends: Mapping[str, Backend], path: Path, report: Report, *, lenient: bool = False
) -> None:
    """What no graph can be built without: all names are known, and all nodes hang together without a cycle.

    ``lenient``: a node that is not there is a warning, as KServe's router only fails when it gets to it.
    """
    if "root" not in graph.nodes:
        hint = suggestion("root", graph.nodes)
        message = ROOT_MISSING if graph.compat == "kserve" else f"a graph needs a node called 'root'{hint}"
        report.conflict((*path, "nodes"), message)
    for name, node in graph.nodes.items():
        _names(name, node, graph, backends, (*path, "nodes", name), report)
        _nodes(node, graph, (*path, "nodes", name), report.warn if lenient else report.conflict)
    if (nodes := cycle(graph)) is not None:
        place = _leading(graph.nodes[nodes[-2]], nodes[-1], (*path, "nodes", nodes[-2]))
        report.conflict(place, f"the nodes form a cycle: {' -> '.join(nodes)}")
    elif "root" in graph.nodes:
        _extent(graph, backends, path, report)


def _leading(node: Node, name: str, path: Path) -> Path:
    """Where ``node`` names the node ``name``."""
    for index, step in enumerate(node.steps):
        place: Path = (*path, "steps", index)
        if step.node_name == name:
            return (*place, "nodeName")
        if step.fallback is not None and step.fallback.node_name == name:
            return (*place, "fallback", "nodeName")
    return path


def _names(name: str, node: Node, graph: Graph, backends: Mapping[str, Backend], path: Path, report: Report) -> None:
    if message := addresses.bad_name(name):
        report.conflict(path, message)
    if graph.compat == "kserve" and node.router_type == "Sequence" and not node.steps:
        report.conflict(path, "a Sequence without steps has no answer")
    for index, step in enumerate(node.steps):
        place: Path = (*path, "steps", index)
        if step.name and (message := addresses.bad_name(step.name)):
            report.conflict((*place, "name"), message)
        for way in ways(step):
            if way.backend is not None and way.backend not in backends:
                where = place if way is step else (*place, "fallback")
                report.conflict((*where, "backend"), _unknown("backend", way.backend, backends))
        if step.fallback is not None:
            check_fallback(step.fallback, graph, (*place, "fallback"), report)
        _condition(graph, step, (*place, "condition"), report)


def _nodes(node: Node, graph: Graph, path: Path, tell: Callable[[Path, str], None]) -> None:
    for index, step in enumerate(node.steps):
        for way in ways(step):
            if way.node_name is not None and way.node_name not in graph.nodes:
                where: Path = (*path, "steps", index) if way is step else (*path, "steps", index, "fallback")
                tell((*where, "nodeName"), _unknown("node", way.node_name, graph.nodes))


def _unknown(what: str, name: str, names: Iterable[str]) -> str:
    return f"there is no {what} '{name}'{suggestion(name, names)}"


def _condition(graph: Graph, step: Step, path: Path, report: Report) -> None:
    if step.condition is None:
        return
    from ..graph.condition import compile_condition  # here, for a fast start of files that have none

    language = graph.condition_language or ("gjson" if graph.compat == "kserve" else "jmespath")
    try:
        compile_condition(language, step.condition)
    except ValueError as error:
        report.conflict(path, str(error))


def _extent(graph: Graph, backends: Mapping[str, Backend], path: Path, report: Report) -> None:
    if depth(graph) > DEEPEST:
        report.conflict((*path, "nodes"), f"the nodes are nested deeper than {DEEPEST}")
    reached = reachable(graph)
    for name in graph.nodes:
        if name not in reached:
            report.warn((*path, "nodes", name), "no step leads to this node")
    if graph.compat == "none" and graph.protocol is None:
        _protocols(graph, reached, backends, path, report)


def _protocols(
    graph: Graph, reached: Iterable[str], backends: Mapping[str, Backend], path: Path, report: Report
) -> None:
    names = backends_of(graph, reached)
    sound = [name for name in backends if name in names and not report.broken(("backends", name, "protocol"))]
    if {"v1", "v2"} <= {backends[name].protocol for name in sound}:
        message = "its backends speak v1 and v2: write protocol: v1, v2 or both, the API that clients are to use"
        report.conflict(path, message)


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
