"""Tracer: decides for each request whether it is traced, and begins its trace.

The rule: a request that is not traced costs no more than a few ids, and often not even these.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns
from typing import Protocol

from gateway.message import Request

from .context import Parent, Propagation, join_tracestate
from .ids import Digits, lines
from .sampler import Sampler
from .span import Recording, Span, offset


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
        told = propagation.lines(b"?" * 32, b"?" * 16, False)
        self._pattern = told or b"?" * 48
        self._lines: list[bytes] = []
        self._next_line = self._lines.pop
        self._tells = bool(told)
        first = told.index(b"?") if told else 0
        self._decisive = slice(first + 16, first + 32)
        self._digits = Digits()
        self._new_id = partial(self._digits, 16)
        self._sink = sink

    def begin(self, request: Request) -> Span | None:
        """The request's span, which whoever calls this names, if it is to be traced; else None.

        Either way ``request.stamp`` tells backends, so that they decide as the gateway has.
        """
        if request.encoded is None:
            return self._join(request)
        # A head that is known has nothing about traces in it (http/heads.py).
        try:
            line = self._next_line()
        except IndexError:
            self._lines += lines(self._pattern)
            line = self._next_line()
        if line[self._decisive] < self._bound:
            return self._record(request, self._digits(16) + line[self._decisive], None, b"")
        if self._tells:
            request.stamp += line
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
        request.stamp += self._propagation.lines(trace_id, self._new_id(), False)
        return None

    def _record(self, request: Request, trace_id: bytes, parent: Parent | None, state: bytes) -> Span:
        random = parent is not None and parent.random
        tell = partial(self._propagation.lines, trace_id, sampled=True, random=random)
        span_id = self._new_id()
        recording = Recording(trace_id, state, tell, tell(span_id), self._new_id, self._sink, offset())
        above = parent.span_id if parent else b""
        start = perf_counter_ns() + recording.offset
        span = Span(recording, span_id, above, "", "server", start, {}, remote=parent is not None)
        request.stamp += recording.lines
        request.trace = span
        return span
