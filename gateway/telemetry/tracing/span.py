"""Spans while they last: plain structs, made for sampled requests only. Nothing of OpenTelemetry is imported here."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from time import perf_counter_ns
from typing import Literal

import msgspec

from gateway.errors import GatewayError

Kind = Literal["server", "client", "internal"]
Attributes = dict[str, str | int | bool]


class Recording(msgspec.Struct, frozen=True):
    """What the spans of one request have in common."""

    trace_id: bytes
    state: bytes
    """The caller's ``tracestate``."""
    tell: Callable[[bytes], bytes]
    """The header lines for the id of a span."""
    lines: bytes
    """Those of the whole request, which its stamp has."""
    new_id: Callable[[], bytes]
    export: Callable[[Span], None]
    offset: int
    """Nanoseconds between the clock that times spans, which is never set back, and Unix time."""


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """A span as it leaves the worker; see there."""

    trace_id: bytes
    state: bytes
    id: bytes
    parent: bytes
    name: str
    kind: Kind
    start: int
    end: int
    attributes: Attributes
    remote: bool
    error: str | None
    links: list[tuple[bytes, bytes]]
    """Ids of trace and span."""


class Span(msgspec.Struct, eq=False):
    """A part of the work on a request. Times are Unix time in nanoseconds, ids hexadecimal digits."""

    recording: Recording
    id: bytes
    parent: bytes
    """Its parent's id; empty where a trace begins."""
    name: str
    kind: Kind
    start: int
    attributes: Attributes
    """What is known of it by now."""
    remote: bool = False
    """The parent is the caller's span."""
    end: int = 0
    error: str | None = None
    """What went wrong, in words, be it none; None: nothing did."""
    links: list[Span] = []
    """Spans of other requests that this is work for as well, such as the members of a batch."""
    describe: Callable[[Span], Attributes] | None = None
    """Tells what can wait to be told, and may name the span: it is asked once the answer has gone out."""

    @property
    def trace_id(self) -> bytes:
        """32 hexadecimal digits."""
        return self.recording.trace_id

    @property
    def lines(self) -> bytes:
        """The header lines that make a backend's spans children of this one."""
        return self.recording.tell(self.id)

    def child(self, name: str, attributes: Attributes, kind: Kind = "internal") -> Span:
        """A part of this span, which begins now."""
        recording = self.recording
        start = perf_counter_ns() + recording.offset
        return Span(recording, recording.new_id(), self.id, name, kind, start, attributes)

    def answered(self, status: int, bad: int) -> None:
        """It ends with that status, which is an error from ``bad`` on."""
        if status >= bad:
            self.error = ""
            self.attributes["error.type"] = str(status)

    def failed(self, error: BaseException, bad: int) -> None:
        """It ends without an answer: with an error of status ``bad`` or above, or because nobody wants one any more."""
        if isinstance(error, (CancelledError, GeneratorExit)):
            self.attributes["gateway.cancelled"] = True
        elif not isinstance(error, GatewayError):
            self.error = str(error)
            self.attributes["error.type"] = type(error).__qualname__
        elif error.status >= bad:
            self.error = error.detail or error.title
            self.attributes["error.type"] = error.code

    def finish(self) -> None:
        """It ends now, and goes where all spans go."""
        self.end = perf_counter_ns() + self.recording.offset
        self.recording.export(self)

    def ended(self) -> Ended:
        """What there is to tell of it."""
        recording = self.recording
        if self.describe is not None:
            self.attributes = self.describe(self) | self.attributes
            self.describe = None
        return Ended(
            recording.trace_id,
            recording.state,
            self.id,
            self.parent,
            self.name,
            self.kind,
            self.start,
            self.end,
            self.attributes,
            self.remote,
            self.error,
            [(other.trace_id, other.id) for other in self.links],
        )
