"""KServe's InferenceGraph to a Graph: a manifest among the configuration's documents, or ``--graph-json``.

A manifest obeys the rules of KServe's webhook. ``--graph-json`` is what the webhook has let pass long ago: there, what
KServe's router could run, runs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import NoReturn, cast

import msgspec

from . import addresses
from .check import check
from .check_kserve import check_kserve
from .decode import Decoder
from .manifest import InferenceStep, Metadata, RouterTimeouts, Spec
from .nodes import MappingNode, Node, ScalarNode, SequenceNode
from .report import ConfigErrors, Path, Place, Report
from .schema import Backend, Config, Drain, Graph, HeaderRules, Server, ServerTimeouts, Step
from .schema import Node as GraphNode

ROUTER_GRAPH = "graph"
"""The name of the graph that ``--graph-json`` gives; the router's own contract has none."""

_SOURCE = Place("--graph-json")
log = logging.getLogger("gateway")


def is_manifest(document: MappingNode) -> bool:
    """True for an object of Kubernetes; no configuration has these keys."""
    names = {key.text for key, _ in document.pairs if isinstance(key, ScalarNode)}
    return {"apiVersion", "kind"} <= names


def add_manifest(config: Config, document: MappingNode, decoder: Decoder) -> Config:
    """``config`` with the graph of one more document; unchanged, and reported, when that is no InferenceGraph."""
    report = decoder.report
    parts = {key: value for key, _, value in decoder.entries(document, ())}
    version = decoder.text(parts["apiVersion"], ("apiVersion",)) or ""
    if decoder.text(parts["kind"], ("kind",)) != "InferenceGraph" or not version.startswith("serving.kserve.io/"):
        report.error(("kind",), "of all Kubernetes objects only KServe's InferenceGraph is read here")
        return config
    nothing = MappingNode([], document.place)
    metadata = decoder.struct(Metadata, parts.get("metadata", nothing), ("metadata",))
    path: Path = ("graphs", metadata.name)
    if metadata.name in config.graphs:
        report.error(path, f"duplicate key; first at {report.place(path)}", report.place(("metadata", "name")))
        return config
    report.mark(path, report.place(("metadata", "name")))
    spec = decoder.struct(Spec, parts.get("spec", nothing), path)
    check_kserve(metadata.name, spec.nodes, path, report)
    graph = _graph(spec, metadata.namespace, config)
    return msgspec.structs.replace(config, graphs=config.graphs | {metadata.name: graph})


def from_graph_json(text: str, environ: Mapping[str, str]) -> Config:
    """The configuration that KServe's router would run with, given its one argument and its environment.

    ``text``: an InferenceGraphSpec in JSON, read as leniently as Go does. Raises ConfigErrors.
    """
    report = Report(_SOURCE.file)
    path: Path = ("graphs", ROUTER_GRAPH)
    spec = Decoder(report, None, fold=True).struct(Spec, _parsed(text), path)
    graph = _graph(spec, "default", Config())
    propagate = HeaderRules(propagate=_propagated(environ.get("PROPAGATE_HEADERS")))
    config = Config(
        server=_server(spec.router_timeouts),
        default_graph=ROUTER_GRAPH,
        graphs={ROUTER_GRAPH: msgspec.structs.replace(graph, headers=propagate)},
        router=True,
    )
    check_kserve(ROUTER_GRAPH, graph.nodes, path, report, admission=False)
    check(config, report)
    if report.errors:
        raise ConfigErrors(report.errors)
    for warning in report.warnings:
        log.warning("%s", warning)
    return config


def _graph(spec: Spec, namespace: str, config: Config) -> Graph:
    nodes = {
        name: GraphNode(
            router_type=node.router_type,
            steps=tuple(_step(step, namespace, config.service_url_template, config.backends) for step in node.steps),
        )
        for name, node in spec.nodes.items()
    }
    timeouts = spec.router_timeouts
    service = None if timeouts.service_client is None else _seconds(timeouts.service_client)
    return Graph(
        nodes=nodes,
        compat="kserve",
        condition_language="gjson",
        timeout=_seconds(timeouts.server_write),
        service_timeout=service,
    )


def _step(step: InferenceStep, namespace: str, template: str, backends: Mapping[str, Backend]) -> Step:
    """Of several targets the first counts that KServe's router would look at; its controller adds serviceUrl itself."""
    backend, url = None, None
    if not step.node_name:
        backend = step.backend if not step.service_url and step.backend in backends else None
        url = step.service_url or (_located(step.backend, namespace, template) if step.backend else None)
    return Step(
        name=step.name,
        node_name=step.node_name or None,
        backend=backend,
        service_url=None if backend else url,
        data="$response" if step.data == "$response" else "$request",
        dependency=step.dependency,
        condition=step.condition or None,
        map_predictions_to_instances=step.map_predictions_to_instances,
        weight=step.weight,
    )


def _located(service: str, namespace: str, template: str) -> str:
    host = template.replace("{name}", service).replace("{namespace}", namespace)
    return f"{host.rstrip('/')}/v1/models/{service}:predict"


def _server(timeouts: RouterTimeouts) -> Server:
    read = _seconds(timeouts.server_read)
    return Server(
        listen=("0.0.0.0:8080",),
        timeouts=ServerTimeouts(header=read, body=read, idle=_seconds(timeouts.server_idle)),
        drain=Drain(delay=30.0),
    )


def _seconds(value: int) -> float:
    """0.0, for no limit, where Go has none: for zero and less."""
    return float(max(0, value))


def _propagated(names: str | None) -> tuple[str, ...]:
    """The usable patterns of PROPAGATE_HEADERS. Not set: none; set but empty: one that matches every header."""
    valid = []
    for pattern in [] if names is None else names.split(","):
        if (problem := addresses.bad_pattern(pattern)) is None:
            valid.append(pattern)
        else:
            log.warning("PROPAGATE_HEADERS: %s; it is skipped", problem)
    return tuple(valid)


class _Number(str):
    """The digits of a JSON number, exactly as they were written."""


def _parsed(text: str) -> Node:
    try:
        return _node(json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse))
    except json.JSONDecodeError as error:
        place = Place(_SOURCE.file, error.lineno, error.colno)
        _fail(place, f"not valid JSON: {error.msg}")
    except (ValueError, RecursionError) as error:
        _fail(_SOURCE, f"not valid JSON: {error}")


def _fail(place: Place, message: str) -> NoReturn:
    report = Report(_SOURCE.file)
    report.error((), message, place)
    raise ConfigErrors(report.errors) from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _node(value: object) -> Node:
    """A parsed JSON value as a node. An empty string is left out as a null is: to Go both are the zero value."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        pairs = [(ScalarNode(name, False, _SOURCE), _node(member)) for name, member in members if member != ""]
        return MappingNode(cast("list[tuple[Node, Node]]", pairs), _SOURCE)
    if isinstance(value, list):
        return SequenceNode([_node(item) for item in value], _SOURCE)
    if isinstance(value, str):
        return ScalarNode(value, isinstance(value, _Number), _SOURCE)
    return ScalarNode(json.dumps(value), True, _SOURCE)
