"""Ways through the nodes of a graph. No recursion: a graph may be deeper than the stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .schema import Fallback, Graph, Node, Step


def children(graph: Graph, name: str) -> list[str]:
    """The nodes that the steps of a node lead to, or fall back to."""
    return [way.node_name for step in graph.nodes[name].steps for way in ways(step) if way.node_name in graph.nodes]


def backends(graph: Graph, nodes: Iterable[str]) -> list[str]:
    """The backends that the steps of ``nodes`` call, or fall back to, in the order of the steps."""
    found = (way.backend for name in nodes for step in graph.nodes[name].steps for way in ways(step))
    return [backend for backend in found if backend is not None]


def ways(step: Step) -> list[Step | Fallback]:
    """The step, and what stands in for it."""
    return [step] if step.fallback is None else [step, step.fallback]


def reachable(graph: Graph) -> list[str]:
    """The nodes that a request can come to, ``root`` first, in the order of the steps."""
    seen: dict[str, None] = {}
    waiting = ["root"]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen[name] = None
            waiting += reversed(children(graph, name))
    return list(seen)


def ends(node: Node, index: int) -> bool:
    """Whether the answer of a step becomes the node's as it is, and nothing else of the node ever looks at it."""
    if node.router_type == "Sequence":
        return index == len(node.steps) - 1
    return node.router_type != "Ensemble"


def tails(graph: Graph, root: bool) -> dict[str, set[bool]]:
    """Of each node that a request can come to, how it is used: is its answer the graph's, as it is (True), or is it
    read on the way (False)? It may be both. ``root``: what holds of the graph itself. The graph has no cycle."""
    uses: dict[str, set[bool]] = {name: set() for name in upwards(graph)}
    uses["root"] = {root}
    for name in reversed(uses):
        node = graph.nodes[name]
        for index, step in enumerate(node.steps):
            for below in (way.node_name for way in ways(step) if way.node_name in uses):
                uses[below] |= {tail and ends(node, index) for tail in uses[name]}
    return uses


def cycle(graph: Graph) -> list[str] | None:
    """Nodes that lead back to the first of them, which is named again at the end; None when there are none."""
    done: set[str] = set()
    for start in graph.nodes:
        trail: dict[str, Iterator[str]] = {} if start in done else {start: iter(children(graph, start))}
        while trail:
            name = next(reversed(trail))
            child = next(trail[name], None)
            if child is None:
                done.add(name)
                del trail[name]
            elif child in trail:
                names = list(trail)
                return [*names[names.index(child) :], child]
            elif child not in done:
                trail[child] = iter(children(graph, child))
    return None


def depth(graph: Graph) -> int:
    """How many nodes the longest way from ``root`` passes. The graph has no cycle."""
    return _depths(graph)["root"]


def upwards(graph: Graph) -> list[str]:
    """The nodes that a request can come to, each after those that its steps lead to. The graph has no cycle."""
    return list(_depths(graph))


def _depths(graph: Graph) -> dict[str, int]:
    depths: dict[str, int] = {}
    waiting = ["root"]
    while waiting:
        below = children(graph, waiting[-1])
        unknown = [name for name in below if name not in depths]
        if unknown:
            waiting += unknown
        else:
            depths[waiting.pop()] = 1 + max((depths[name] for name in below), default=0)
    return depths
