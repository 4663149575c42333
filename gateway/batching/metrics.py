"""What is counted of batching; every series of a backend exists from the start."""

from __future__ import annotations

from typing import Final

from gateway.formats.format import REASONS
from gateway.telemetry.metrics import Registry

from .lane import Batch

SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Rows or requests."""

BYPASSED: Final = (*REASONS, "rows", "keys", "resting")
"""Why a request was sent alone: it cannot be merged; it has too many rows; there are too many keys; or nothing of its
kind is merged for a while."""

DROPPED: Final = ("full", "late", "preempted", "deadline", "cancelled")


class Counted:
    """The metrics of one backend in one of ``workers`` processes."""

    def __init__(self, registry: Registry, backend: str, workers: int = 1) -> None:
        self._workers = workers
        self.depth = registry.gauge("gateway_batch_queue_depth", backend=backend)
        self.running = registry.gauge("gateway_batch_in_flight", backend=backend)
        self.keys = registry.gauge("gateway_batch_keys", backend=backend)
        self.rows = registry.histogram("gateway_batch_size", SIZES, backend=backend)
        self.requests = registry.histogram("gateway_batch_requests", SIZES, backend=backend)
        self.wait = registry.duration("gateway_batch_wait_seconds", backend=backend)
        self.linger = registry.duration("gateway_batch_linger_seconds", backend=backend)
        self.isolated = registry.counter("gateway_batch_isolations_total", backend=backend)
        self.extra = registry.counter("gateway_batch_extra_calls_total", backend=backend)
        self.mismatches = registry.counter("gateway_batch_mismatches_total", backend=backend)
        self.rests = registry.counter("gateway_batch_rests_total", backend=backend)
        self._cost = [
            registry.gauge("gateway_batch_cost_seconds", backend=backend, part=part) for part in ("fixed", "row")
        ]
        self.bypassed = {
            reason: registry.counter("gateway_batch_bypassed_total", backend=backend, reason=reason)
            for reason in BYPASSED
        }
        self.dropped = {
            reason: registry.counter("gateway_batch_dropped_total", backend=backend, reason=reason)
            for reason in DROPPED
        }

    def sent(self, batch: Batch) -> None:
        """It is under way now; how long its requests have waited is noted in their records, too."""
        self.depth.add(-len(batch.entries))
        self.running.add()
        self.rows.observe(batch.rows)
        self.requests.observe(len(batch.entries))
        self.linger.observe(batch.lingered)
        if batch.entries[0].part is not None:
            self.extra.add()
            return
        for entry in batch.entries:
            waited = batch.started - entry.since
            self.wait.observe(waited)
            if (record := entry.member.request.record) is not None:
                record.queued += waited

    def learned(self, fixed: float, per_row: float) -> None:
        """Each worker learns for itself: what is added up for all of them comes out as their mean."""
        for gauge, seconds in zip(self._cost, (fixed, per_row), strict=True):
            gauge.set(seconds / self._workers)
