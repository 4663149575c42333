"""Exemplars of the requests' durations, from their spans: a request that is sampled out has none, and pays nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from gateway.telemetry.exemplars import Exemplar, Exemplars
from gateway.telemetry.metrics import Registry

from .span import Ended

log = logging.getLogger("gateway")

_HISTOGRAM = "gateway_request_duration_seconds"
_DEFAULT = "trace_based"


class Exemplify:
    """Keeps a request's span as the exemplar of the bucket that its duration is in."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._graphs: dict[str, Exemplars] = {}

    def __call__(self, span: Ended) -> None:
        if span.kind != "server":
            return
        graph = str(span.attributes["gateway.graph"])
        exemplars = self._graphs.get(graph)
        if exemplars is None:
            exemplars = self._graphs[graph] = self._registry.exemplars(_HISTOGRAM, self._registry.buckets, graph=graph)
        exemplars.keep(Exemplar((span.end - span.start) / 1e9, span.end / 1e9, span.trace_id, span.id))


def wanted(environ: Mapping[str, str]) -> bool:
    """OTEL_METRICS_EXEMPLAR_FILTER; ``always_on`` is ``trace_based``, for without a trace there is nothing to show."""
    said = environ.get("OTEL_METRICS_EXEMPLAR_FILTER", "").strip().lower() or _DEFAULT
    if said not in ("always_on", "always_off", _DEFAULT):
        log.warning("OTEL_METRICS_EXEMPLAR_FILTER=%s is not known here: %s is used", said, _DEFAULT)
    return said != "always_off"
