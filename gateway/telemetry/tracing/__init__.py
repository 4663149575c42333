"""Traces, configured as everywhere by OTEL_*. Without an exporter there is no tracer, and nothing is imported for one.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.telemetry.metrics import Registry

if TYPE_CHECKING:
    from .tracer import Sink, Tracer

log = logging.getLogger("gateway")

_SWITCH = 0.0005
"""Seconds that the exporter's thread may compute while a request waits for the interpreter; Python's own is 5 ms."""


def start_tracing(environ: Mapping[str, str], registry: Registry) -> Tracer | None:
    """What the environment asks for; None: no traces. Ask once in a process, for it starts a thread."""
    if not wanted(environ):
        return None
    from . import exemplars
    from .context import propagation
    from .export import Export, batching
    from .otlp import otlp
    from .sampler import sampler
    from .tracer import Tracer

    try:
        send = otlp()
    except Exception:  # what OpenTelemetry makes of its variables; a gateway without traces is better than none
        log.exception("no traces are sent")
        return None
    sys.setswitchinterval(_SWITCH)
    sink: Sink = Export(send, registry, batching(environ))
    if exemplars.wanted(environ):
        sink = exemplars.Exemplify(sink, registry)
    return Tracer(sampler(environ), propagation(environ), sink)


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether an exporter is configured that there is; else the log says so."""
    exporters = _words(environ, "OTEL_TRACES_EXPORTER")
    named = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
    if not exporters and any(environ.get(name, "").strip() for name in named):
        exporters = ["otlp"]
    if not exporters or _words(environ, "OTEL_SDK_DISABLED") == ["true"] or exporters == ["none"]:
        return False
    protocols = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"
    protocol = next((said[0] for name in protocols if (said := _words(environ, name))), "http/protobuf")
    if "otlp" not in exporters or protocol != "http/protobuf":
        log.error("no traces are sent: exporter %s over %s is not known here", ",".join(exporters), protocol)
        return False
    return True


def _words(environ: Mapping[str, str], name: str) -> list[str]:
    return [word for part in environ.get(name, "").lower().split(",") if (word := part.strip())]
