"""Tracer: decides for each request whether it is traced, and begins its trace.

The rule: a request that is not traced costs no more than a few ids, and often not even these.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import getrandbits as bits
from time import perf_counter_ns, time_ns
from typing import Protocol

from gateway.message import Request, header

from .context import Parent, Propagation, join_tracestate
from .ids import Digits, roots
from .sampler import Sampler
from .span import Recording, Span


class Sink(Protocol):
    """Where spans go when they have ended. It never waits, and never fails."""

    def __call__(self, span: Span, /) -> None: ...
    def flush(self) -> None: ...


class Tracer:
    """One for a worker, however often the configuration changes: traces are configured by the environment."""

    def __init__(self, sampler: Sampler, propagation: Propagation, sink: Sink) -> None:
        self._sampler = sampler
        self._propagation = propagation
        self._limit = sampler.limit
        told = propagation.lines(b"?" * 32, b"?" * 16, False)
        drawn = roots(told or b"?" * 48, sampler.bound)
        self.roots: Iterator[bytes | None] = drawn if told else (line and b"" for line in drawn)
        """What to tell backends of each request that begins a trace; None where that one is traced, see ``root``."""
        self._digits = Digits()
        self._new_id = partial(self._digits, 16)
        self._sink = sink

    def begin(self, request: Request) -> Span | None:
        """The request's span, which whoever calls this names, if it is to be traced; else None.

        Either way ``request.stamp`` tells backends, so that they decide as the gateway has.
        """
        # A head that is known has nothing about traces in it (http/heads.py).
        if request.encoded is None and self._propagation.concerns(request.headers):
            return self._join(request)
        lines = next(self.roots)
        if lines is None:
            return self.root(request)
        request.stamp += lines
        return None

    def root(self, request: Request) -> Span:
        """The span of a request that begins a trace, and is traced."""
        digits = b"%032x%016x" % (bits(128), bits(64) * self._limit >> 64)
        return self._record(request, digits[16:], digits[:16], None, b"")

    def flush(self) -> None:
        """Send on what has ended."""
        self._sink.flush()

    def _join(self, request: Request) -> Span | None:
        """The caller may have begun the trace, and decided."""
        if self._sampler.by_parent and self._propagation.declined(request.headers):
            return None  # what the caller said goes on as it is
        found = self._propagation.found(request.headers)
        parent = self._propagation.parent(found)
        trace_id = parent.trace_id if parent else self._digits(32)
        sampled = self._sampler(parent, trace_id)
        agreed = parent is not None and not (sampled or parent.sampled)
        if agreed and header(found, b"traceparent"):
            return None
        state = join_tracestate(value for name, value in found if name == b"tracestate") if parent else b""
        headers = self._propagation.without(request.headers)
        request.headers = [*headers, (b"tracestate", state)] if state else headers
        if sampled:
            return self._record(request, trace_id, self._new_id(), parent, state)
        span_id = parent.span_id if parent and agreed else self._new_id()
        request.stamp += self._propagation.lines(trace_id, span_id, False)
        return None

    def _record(self, request: Request, trace_id: bytes, span_id: bytes, parent: Parent | None, state: bytes) -> Span:
        random, debug = (parent.random, parent.debug) if parent else (False, False)
        tell = partial(self._propagation.lines, trace_id, sampled=True, random=random, debug=debug)
        start = time_ns()
        lines = tell(span_id)
        recording = Recording(trace_id, state, tell, lines, self._new_id, self._sink, start - perf_counter_ns())
        above = parent.span_id if parent else b""
        span = Span(recording, span_id, above, "", "server", start, {}, remote=parent is not None)
        request.stamp += lines
        request.trace = span
        return span
