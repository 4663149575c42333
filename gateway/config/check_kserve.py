"""KServe's own rules for a graph, in KServe's own words (inference_graph_validation.go)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from .report import Path, Report

_NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"


class Step(Protocol):
    """What these rules read of a step, be it a manifest's or a configuration's."""

    @property
    def name(self) -> str: ...
    @property
    def node_name(self) -> str | None: ...
    @property
    def backend(self) -> str | None: ...
    @property
    def service_url(self) -> str | None: ...
    @property
    def weight(self) -> int | None: ...


class Router(Protocol):
    """What these rules read of a node."""

    @property
    def router_type(self) -> str: ...
    @property
    def steps(self) -> Sequence[Step]: ...


def check_kserve(
    graph: str, nodes: Mapping[str, Router], path: Path, report: Report, *, admission: bool = True
) -> None:
    """What KServe's webhook would refuse, though all of it at once.

    Without ``admission`` only that which KServe's router could not run.
    """
    if admission and not re.fullmatch(_NAME, graph):
        report.conflict(
            path,
            f'The InferenceGraph "{graph}" is invalid: a InferenceGraph name must consist of lower case alphanumeric '
            'characters or \'-\', and must start with alphabetical character. (e.g. "my-name" or "abc-123", '
            f"regex used for validation is '{_NAME}')",
        )
    for name, node in nodes.items():
        place: Path = (*path, "nodes", name)
        if admission:
            _names(graph, name, node, place, report)
        _targets(graph, name, node, place, report)
        if node.router_type == "Splitter" and not report.broken((*place, "routerType")):
            _weights(graph, name, node, place, report)
            if admission:
                _sum(graph, name, node, place, report)


def _names(graph: str, name: str, node: Router, path: Path, report: Report) -> None:
    seen: set[str] = set()
    for index, step in enumerate(node.steps):
        if step.name and step.name in seen:
            message = f'Node "{name}" of InferenceGraph "{graph}" contains more than one step with name "{step.name}"'
            report.conflict((*path, "steps", index, "name"), message)
        seen.add(step.name)


def _targets(graph: str, name: str, node: Router, path: Path, report: Report) -> None:
    for index, step in enumerate(node.steps):
        where = f'Step {index} ("{step.name}") in node "{name}" of InferenceGraph "{graph}"'
        count = sum(map(bool, (step.node_name, step.backend, step.service_url)))
        if count == 0:
            report.conflict((*path, "steps", index), f"{where} does not specify an inference target")
        elif count > 1:
            message = f"{where} specifies more than one of nodeName, serviceName, serviceUrl"
            report.conflict((*path, "steps", index), message)


def _weights(graph: str, name: str, node: Router, path: Path, report: Report) -> None:
    where = f"InferenceGraph[{graph}] Node[{name}]"
    for index, step in enumerate(node.steps):
        if step.weight is None:
            report.conflict((*path, "steps", index), f"{where} Route[{step.backend or ''}] missing the 'Weight'")


def _sum(graph: str, name: str, node: Router, path: Path, report: Report) -> None:
    weights = [step.weight for step in node.steps if step.weight is not None]
    known = not any(report.broken((*path, "steps", index, "weight")) for index in range(len(node.steps)))
    if len(weights) == len(node.steps) and known and sum(weights) != 100:
        where = f"InferenceGraph[{graph}] Node[{name}]"
        message = f"{where} splitter node: the sum of traffic weights for all routing targets should be 100"
        report.conflict(path, message)
