"""Traces, configured as everywhere by OTEL_*. Without an exporter there is no tracer, and nothing is imported for one.

Workers trace; the control process exports, and only there is anything of OpenTelemetry imported.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from gateway.telemetry.metrics import Registry

if TYPE_CHECKING:
    from .export import Export
    from .relay import Send
    from .span import Ended
    from .tracer import Tracer

log = logging.getLogger("gateway")


def start_tracing(environ: Mapping[str, str], registry: Registry, send: Send) -> Tracer:
    """What traces a worker's requests, as the environment asks for; ``send`` takes spans that have ended away."""
    from . import exemplars
    from .context import propagation
    from .export import batching
    from .relay import BATCH, Relay
    from .sampler import sampler
    from .tracer import Tracer

    look = exemplars.Exemplify(registry) if exemplars.wanted(environ) else None
    relay = Relay(send, registry, min(BATCH, batching(environ).size), look)
    return Tracer(sampler(environ), propagation(environ), relay)


def start_export(environ: Mapping[str, str], registry: Registry, workers: int = 1) -> Export:
    """What sends the spans of so many workers to a collector. Ask once in a process, for it starts a thread."""
    from .export import Export, batching

    each = batching(environ)
    return Export(_otlp, registry, msgspec.structs.replace(each, room=each.room * workers))


def _otlp() -> Callable[[list[Ended]], bool]:
    from .otlp import otlp  # in the thread, for it takes a tenth of a second

    return otlp()


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
