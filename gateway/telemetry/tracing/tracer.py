"""Tracer: decides for each request whether it is traced, and begins its trace.

The rule: a request that is not traced costs no more than a few ids, and often not even these.
"""

from __future__ import annotations

import os
from functools import partial
from time import perf_counter_ns
from typing import Protocol

from gateway.message import Request

from .context import Parent, Propagation, join_tracestate
from .sampler import Sampler
from .span import Recording, Span, Unsampled, offset

_AT_ONCE = 2048


class Digits:
    """Random hexadecimal digits, drawn many at a time."""

    __slots__ = ("_at", "_text")

    def __init__(self) -> None:
        self._text = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        at = self._at
        end = self._at = at + count
        if end > len(self._text):
            self._text = os.urandom(_AT_ONCE).hex().encode()
            at, end = 0, count
            self._at = end
        return self._text[at:end]


class Sink(Protocol):
    """Where spans go when they have ended. It never waits, and never fails."""

    def __call__(self, span: Span, /) -> None: ...
    def close(self, seconds: float, /) -> None: ...


class Tracer:
    """One for a worker, however often the configuration changes: traces are configured by the environment."""

    def __init__(self, sampler: Sampler, propagation: Propagation, sink: Sink) -> None:
        self._sampler = sampler
        self._bound = sampler.bound
        self._propagation = propagation
        self._digits = Digits()
        self._new_id = partial(self._digits, 16)
        self._sink = sink

    def begin(self, request: Request) -> Span | None:
        """Set ``request.trace``. The request's span, which its caller names, where it is traced."""
        if request.encoded is None:
            return self._join(request)
        # A head that is known has nothing about traces in it (http/heads.py).
        ids = self._digits(48)
        if ids[16:32] < self._bound:
            return self._record(request, ids[:32], None, b"")
        request.trace = Unsampled(self._propagation.lines(ids[:32], ids[32:], False))
        return None

    def close(self, seconds: float) -> None:
        """Send on what has ended, but give up after so long."""
        self._sink.close(seconds)

    def _join(self, request: Request) -> Span | None:
        """The caller may have begun the trace, and decided."""
        found = self._propagation.found(request.headers)
        parent = self._propagation.parent(found)
        trace_id = parent.trace_id if parent else self._digits(32)
        sampled = self._sampler(parent, trace_id)
        if parent and not (sampled or parent.sampled):
            return None  # all agree: what the caller said goes on as it is
        state = join_tracestate(value for name, value in found if name == b"tracestate") if parent else b""
        if found:
            headers = self._propagation.without(request.headers)
            request.headers = [*headers, (b"tracestate", state)] if state else headers
        if sampled:
            return self._record(request, trace_id, parent, state)
        request.trace = Unsampled(self._propagation.lines(trace_id, self._new_id(), False))
        return None

    def _record(self, request: Request, trace_id: bytes, parent: Parent | None, state: bytes) -> Span:
        random = parent is not None and parent.random
        tell = partial(self._propagation.lines, trace_id, sampled=True, random=random)
        recording = Recording(trace_id, state, tell, self._new_id, self._sink, offset())
        above = parent.span_id if parent else b""
        start = perf_counter_ns() + recording.offset
        span = Span(recording, self._new_id(), above, "", "server", start, {}, remote=parent is not None)
        request.trace = span
        return span
