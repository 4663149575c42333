"""Chosen: counts the requests that a step got because a Splitter or a Switch chose it."""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.message import Request, Response
from gateway.service import Layer, Service
from gateway.telemetry.metrics import Counter, Registry


class Chosen:
    """Whatever becomes of them."""

    def __init__(self, inner: Service, count: Counter) -> None:
        self.inner = inner
        self._cells = count.cells

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        self._cells[0] += 1.0
        return self.inner(request)


def chosen(registry: Registry, graph: str, node: str, step: str) -> Layer:
    count = registry.counter("gateway_split_total", graph=graph, node=node, step=step)
    return lambda inner: Chosen(inner, count)
