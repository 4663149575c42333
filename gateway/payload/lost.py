"""Events that are lost."""

from __future__ import annotations

from collections.abc import Callable

from gateway.telemetry.dropped import Dropped
from gateway.telemetry.metrics import Registry


def lost(registry: Registry, sink: str, reason: str, clock: Callable[[], float]) -> Dropped:
    """What one ``sink`` lost for one ``reason``."""
    counter = registry.counter("gateway_payload_log_dropped_total", sink=sink, reason=reason)
    return Dropped(counter, f"payload log: sink={sink}", reason, clock)
