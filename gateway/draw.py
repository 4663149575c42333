"""Pictures of graphs in text: a tree for terminals, Mermaid and DOT for documents. All of them say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from .config.scalars import Duration
from .config.schema import Backend, Config, Graph, Node, Step
from .config.walk import reachable


class Edge(msgspec.Struct, frozen=True):
    """One step: its words, and where it leads: to a node of the graph, or out to a model server."""

    words: str
    target: str
    node: bool
    address: str = ""


def edges(graph: Graph, name: str, config: Config) -> list[Edge]:
    """The steps of a node."""
    node = graph.nodes[name]
    total = sum(step.weight or 0 for step in node.steps)
    return [edge for step in node.steps for edge in (_edge(node, step, total, config), *_instead(step, config))]


def _edge(node: Node, step: Step, total: int, config: Config) -> Edge:
    words = _words(node, step, total)
    if step.node_name is not None:
        return Edge(words, step.node_name, True)
    if step.backend is not None:
        return Edge(words, step.backend, False, _address(step.backend, config.backends.get(step.backend)))
    return Edge(words, step.service_url or "", False)


def _instead(step: Step, config: Config) -> Iterator[Edge]:
    """Its fallback, where it has one."""
    if step.fallback is None:
        return
    way = step.fallback
    words = f"if {step.name or step.backend or step.node_name or step.service_url} fails"
    if way.node_name is not None:
        yield Edge(words, way.node_name, True)
    elif way.backend is not None:
        yield Edge(words, way.backend, False, _address(way.backend, config.backends.get(way.backend)))
    elif way.response is not None:
        yield Edge(words, f"answer {way.response.status}", False)


def _address(name: str, backend: Backend | None) -> str:
    if backend is None:
        return "unknown"
    base, model = backend.urls[0].rstrip("/") if backend.urls else "unknown", backend.model or name
    paths = {"v1": f"/v1/models/{model}:predict", "v2": f"/v2/models/{model}/infer", "raw": backend.path or "/…"}
    others = f" (1 of {len(backend.urls)} endpoints)" if len(backend.urls) > 1 else ""
    return base + (" " if base.startswith("unix:") else "") + paths[backend.protocol] + others


def _words(node: Node, step: Step, total: int) -> str:
    """What is special about a step, in the order in which it matters."""
    default = node.router_type == "Switch" and step.condition is None
    words = [
        step.name if step.name not in (step.backend, step.node_name) else "",
        f"{100 * (step.weight or 0) / total:.4g}%" if node.router_type == "Splitter" and total else "",
        f"if {step.condition}" if step.condition is not None else "",
        "else" if default else "",
        "or skip" if step.on_unmet == "skip" else "",
        "data: $response" if step.data == "$response" else "",
        "predictions to instances" if step.map_predictions_to_instances else "",
        "Hard" if step.dependency == "Hard" else "",
        f"within {Duration().show(step.timeout)}" if step.timeout is not None else "",
    ]
    return ", ".join(word for word in words if word)


def text(config: Config) -> str:
    """Every graph as a tree. A node that several steps lead to is drawn once, and named where it comes again."""
    return "\n".join("\n".join(_tree(name, graph, config)) + "\n" for name, graph in config.graphs.items())


def _tree(title: str, graph: Graph, config: Config) -> Iterator[str]:
    marks = [graph.protocol or "", "kserve" if graph.compat == "kserve" else ""]
    marks += ["default"] if title == config.default_graph else []
    yield title + (f" ({', '.join(mark for mark in marks if mark)})" if any(marks) else "")
    yield f"└── root: {graph.nodes['root'].router_type}"
    drawn = {"root"}
    waiting = _branches(graph, "root", "    ", config)
    while waiting:
        indent, edge, last = waiting.pop()
        yield indent + ("└── " if last else "├── ") + _line(edge, graph, edge.target in drawn)
        if edge.node and edge.target not in drawn:
            drawn.add(edge.target)
            waiting += _branches(graph, edge.target, indent + ("    " if last else "│   "), config)


def _branches(graph: Graph, name: str, indent: str, config: Config) -> list[tuple[str, Edge, bool]]:
    """Reversed, to be popped off the end."""
    steps = edges(graph, name, config)
    return [(indent, edge, index == len(steps) - 1) for index, edge in enumerate(steps)][::-1]


def _line(edge: Edge, graph: Graph, again: bool) -> str:
    words = f"{edge.words}: " if edge.words else ""
    if edge.node:
        return f"{words}{edge.target}: {graph.nodes[edge.target].router_type}" + (" (see above)" if again else "")
    return f"{words}{edge.target}" + (f" -> {edge.address}" if edge.address else "")


class Box(msgspec.Struct, frozen=True):
    """A node (``kind`` is its router type) or a model server (``kind`` is empty, ``note`` its address)."""

    title: str
    kind: str
    note: str = ""


Arrow = tuple[Box, str, Box]
"""From, the words on it, to."""


def picture(graph: Graph, config: Config) -> tuple[list[Box], list[Arrow]]:
    """All that can be reached from ``root``: boxes in the order of the steps, and the arrows between them."""
    boxes: dict[Box, None] = {}
    arrows: list[Arrow] = []
    for name in reachable(graph):
        start = Box(name, graph.nodes[name].router_type)
        boxes[start] = None
        for edge in edges(graph, name, config):
            kind = graph.nodes[edge.target].router_type if edge.node else ""
            end = Box(edge.target, kind, edge.address)
            boxes[end] = None
            arrows.append((start, edge.words, end))
    return list(boxes), arrows


def mermaid(config: Config) -> str:
    """A Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html), one subgraph a graph."""
    lines = ["flowchart LR"]
    for number, (title, graph) in enumerate(config.graphs.items()):
        boxes, arrows = picture(graph, config)
        ids = {box: f"g{number}b{index}" for index, box in enumerate(boxes)}
        lines.append(f"  subgraph g{number}[{_entities(title)}]")
        lines += [f"    {ids[box]}{_outline(box)}" for box in boxes]
        for start, words, end in arrows:
            lines.append(f"    {ids[start]} -->{f'|{_entities(words)}|' if words else ''} {ids[end]}")
        lines.append("  end")
    return "\n".join(lines) + "\n"


_MERMAID = {"Sequence": "[{}]", "Switch": "{{{}}}", "Ensemble": "[[{}]]", "Splitter": "{{{{{}}}}}", "": "([{}])"}


def _outline(box: Box) -> str:
    label = _entities("\n".join(filter(None, (box.title, box.kind, box.note))))
    return _MERMAID[box.kind].format(label)


def _entities(text: str) -> str:
    """Quoted for Mermaid, which has entities instead of backslashes."""
    plain = re.sub(r"[^\w\n .,:/%$=?-]", lambda found: f"#{ord(found[0])};", text)
    return '"' + plain.replace("\n", "<br/>") + '"'


def dot(config: Config) -> str:
    """Graphviz (https://graphviz.org/doc/info/lang.html), one cluster a graph."""
    lines = ["digraph gateway {", "  rankdir=LR", '  node [fontname="sans-serif", shape=box, style="rounded,filled"]']
    for number, (title, graph) in enumerate(config.graphs.items()):
        boxes, arrows = picture(graph, config)
        ids = {box: f"g{number}b{index}" for index, box in enumerate(boxes)}
        lines += [f"  subgraph cluster_{number} {{", f"    label={_escaped(title)}"]
        for box in boxes:
            label = _escaped("\n".join(filter(None, (box.title, box.kind, box.note))))
            lines.append(f'    {ids[box]} [label={label}, fillcolor="{COLOURS[box.kind]}"]')
        lines += [f"    {ids[start]} -> {ids[end]} [label={_escaped(words)}]" for start, words, end in arrows]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _escaped(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


COLOURS = {"Sequence": "#dbeafe", "Switch": "#fef3c7", "Ensemble": "#dcfce7", "Splitter": "#fce7f3", "": "#f3f4f6"}
