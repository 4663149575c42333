"""Rules for the ``fallback`` of a step, other than that what it names is there."""

from __future__ import annotations

from . import addresses
from .report import Path, Report
from .schema import Fallback, FallbackResponse, Graph

BODILESS = (204, 304)
"""Statuses of answers that have no body (RFC 9110 section 6.4.1)."""


def check_fallback(fallback: Fallback, graph: Graph, path: Path, report: Report) -> None:
    """Report what cannot work in the ``fallback`` of a step of ``graph``."""
    if graph.compat == "kserve":
        report.conflict(path, "KServe's router knows no fallback: leave it out, or leave out compat: kserve")
    given = [fallback.backend, fallback.node_name, fallback.response]
    if sum(target is not None for target in given) != 1:
        report.conflict(path, "a fallback has exactly one of backend, nodeName and response")
    if fallback.response is not None:
        _response(fallback.response, (*path, "response"), report)


def _response(response: FallbackResponse, path: Path, report: Report) -> None:
    if response.status in BODILESS and response.body is not None:
        report.conflict((*path, "body"), f"an answer with status {response.status} has no body")
    for name, value in response.headers.items():
        if complaint := addresses.bad_header_name(name) or addresses.bad_header_value(value):
            report.conflict((*path, "headers", name), complaint)
