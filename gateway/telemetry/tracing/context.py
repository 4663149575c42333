"""The trace context of a request: what its headers say, and what is said on. No clock and no randomness in this file.

W3C Trace Context (https://www.w3.org/TR/trace-context/), and B3 in its one-header form
(https://github.com/openzipkin/b3-propagation).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping

import msgspec

from gateway.message import Headers

log = logging.getLogger("gateway")

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL).fullmatch
_MEMBER = re.compile(
    rb"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
).fullmatch
_B3 = re.compile(rb"((?:[0-9a-f]{16}){1,2})-([0-9a-f]{16})-([01d])(?:-[0-9a-f]{16})?").fullmatch
_MEMBERS = 32
_RANDOM = 0x02

FIELDS = {"tracecontext": (b"traceparent", b"tracestate"), "b3": (b"b3",)}
"""The headers of each way to propagate. Baggage has none here: it goes with a request as any listed header does."""


class Parent(msgspec.Struct, frozen=True):
    """The span of the caller. Ids are lower-case hexadecimal digits."""

    trace_id: bytes
    span_id: bytes
    sampled: bool
    random: bool = False
    """The trace id is known to be random (level 2 of the standard)."""


def parse_traceparent(value: bytes) -> Parent | None:
    """None unless it is valid (section 3.2); of a version to come, the part that we know is taken."""
    match = _TRACEPARENT(value)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if (
        version == b"ff"
        or (version == b"00" and more is not None)
        or not (trace_id.strip(b"0") and span_id.strip(b"0"))
    ):
        return None
    bits = int(flags, 16)
    return Parent(trace_id, span_id, bool(bits & 1), bool(bits & _RANDOM))


def parse_b3(value: bytes) -> Parent | None:
    """None unless it has ids and says whether the trace is sampled; a short trace id is filled up with zeros."""
    match = _B3(value)
    if match is None:
        return None
    trace_id, span_id, state = match.groups()
    if not (trace_id.strip(b"0") and span_id.strip(b"0")):
        return None
    return Parent(trace_id.rjust(32, b"0"), span_id, state != b"0")


def join_tracestate(values: Iterable[bytes]) -> bytes:
    """Repeated headers as one, in order; empty when a member is malformed, doubled or one too many (section 3.3)."""
    members = [member for value in values for part in value.split(b",") if (member := part.strip(b" \t"))]
    keys = {member.partition(b"=")[0] for member in members}
    if len(keys) < len(members) or len(members) > _MEMBERS or not all(map(_MEMBER, members)):
        return b""
    return b",".join(members)


_READ = {"tracecontext": (b"traceparent", parse_traceparent), "b3": (b"b3", parse_b3)}


class Propagation:
    """The ways that OTEL_PROPAGATORS names, the first that finds a parent being believed."""

    def __init__(self, names: Iterable[str] = ("tracecontext",)) -> None:
        self._names = [name for name in names if name in FIELDS]
        self._fields = frozenset(field for name in self._names for field in FIELDS[name])
        self._templates = [_template(self._names, flags) for flags in range(4)]

    def found(self, headers: Headers) -> Headers:
        """The fields that are about traces."""
        return [field for field in headers if field[0] in self._fields]

    def without(self, headers: Headers) -> Headers:
        """All the other fields."""
        return [field for field in headers if field[0] not in self._fields]

    def parent(self, found: Headers) -> Parent | None:
        """The caller's span; None where there is none, or one that nobody understands."""
        for name in self._names:
            field, read = _READ[name]
            values = [value for key, value in found if key == field]
            if len(values) == 1 and (parent := read(values[0])) is not None:
                return parent
        return None

    def lines(self, trace_id: bytes, span_id: bytes, sampled: bool, random: bool = False) -> bytes:
        """The header lines that tell a backend its parent."""
        return self._templates[sampled | random << 1] % ((trace_id, span_id) * len(self._names))


def propagation(environ: Mapping[str, str]) -> Propagation:
    """OTEL_PROPAGATORS; what is not known here is left out, and the log says so."""
    said = environ.get("OTEL_PROPAGATORS", "").lower().split(",")
    names = [name for part in said if (name := part.strip())] or ["tracecontext", "baggage"]
    for name in names:
        if name not in (*FIELDS, "baggage", "none"):
            log.warning("OTEL_PROPAGATORS: %s is not known here", name)
    return Propagation(dict.fromkeys(names))


def _template(names: list[str], flags: int) -> bytes:
    """Header lines with room for trace and span id in each."""
    lines = {"tracecontext": b"traceparent: 00-%%b-%%b-%02x\r\n" % flags, "b3": b"b3: %%b-%%b-%d\r\n" % (flags & 1)}
    return b"".join(lines[name] for name in names)
