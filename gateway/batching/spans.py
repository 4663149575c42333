"""Spans of a batch: of its call, linked to its members', and of the wait of each member, linked to the call's.

The rule: they are made only for members that are sampled. The call is part of the first one's trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lane import Batch, Entry

if TYPE_CHECKING:
    from gateway.telemetry.tracing.span import Attributes, Span


def of_call(backend: str, batch: Batch, first: Span) -> Span:
    """The span of the call for all of ``batch``, which begins now, and those of the waits for it, which end now."""
    span = first.child(f"batch {backend}", _attributes(backend, batch))
    span.links = [trace for entry in batch.entries if (trace := entry.member.request.trace) is not None]
    for entry in batch.entries:
        of_wait(backend, batch, entry, span)
    return span


def of_wait(backend: str, batch: Batch, entry: Entry, call: Span | None = None) -> None:
    """The time from its arrival to its ``call``. A member that is sent once more has waited once already."""
    above = entry.member.request.trace
    if above is None or entry.part is not None:
        return
    span = above.child("batch.wait", _attributes(backend, batch))
    span.start -= int((batch.started - entry.since) * 1e9)
    if call is not None:
        span.links = [call]
    span.finish()


def _attributes(backend: str, batch: Batch) -> Attributes:
    return {
        "gateway.backend": backend,
        "gateway.batch.rows": batch.rows,
        "gateway.batch.requests": len(batch.entries),
    }
