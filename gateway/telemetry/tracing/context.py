"""The trace context of a request: what its headers say, and what is said on. No clock and no randomness in this file.

W3C Trace Context (https://www.w3.org/TR/trace-context/), and B3 in one header or in several
(https://github.com/openzipkin/b3-propagation), both as OpenTelemetry wants them read and written
(https://opentelemetry.io/docs/specs/otel/context/api-propagators/#b3-requirements).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Final

import msgspec

from gateway.message import Headers

log = logging.getLogger("gateway")

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL).fullmatch
_DECLINED = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][02468ace]").fullmatch
"""A ``traceparent`` that is valid and not sampled."""
_MEMBER = re.compile(
    rb"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
).fullmatch
_B3 = re.compile(rb"((?:[0-9a-f]{16}){1,2})-([0-9a-f]{16})-([01d])(?:-[0-9a-f]{16})?").fullmatch
_MEMBERS = 32
_RANDOM = 0x02
_NAME = itemgetter(0)

_B3_FIELDS = (b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags")

FIELDS: Final = {"tracecontext": (b"traceparent", b"tracestate"), "b3": _B3_FIELDS, "b3multi": _B3_FIELDS}
"""The headers of each way to propagate. Baggage has none here: it goes with a request as any listed header does."""


class Parent(msgspec.Struct, frozen=True):
    """The span of the caller. Ids are lower-case hexadecimal digits."""

    trace_id: bytes
    span_id: bytes
    sampled: bool
    random: bool = False
    """The trace id is known to be random (level 2 of the standard)."""
    debug: bool = False
    """B3's: sampled, and somebody will look."""


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
    return Parent(trace_id.rjust(32, b"0"), span_id, state != b"0", debug=state == b"d")


_STATES = {b"1": b"1", b"0": b"0", b"true": b"1", b"false": b"0"}
"""``x-b3-sampled``, as older tracers write it, too."""


def _single(found: Headers) -> bytes:
    """The several headers of B3 as the one that says the same. What is missing makes it malformed."""
    names = (b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled", b"x-b3-flags")
    trace_id, span_id, sampled, flags = (_only(found, name) for name in names)
    return b"-".join((trace_id, span_id, b"d" if flags == b"1" else _STATES.get(sampled, b"")))


def _only(found: Headers, name: bytes) -> bytes:
    """The value of a header that is there once; else empty."""
    values = [value for key, value in found if key == name]
    return values[0] if len(values) == 1 else b""


def _read_tracecontext(found: Headers) -> Parent | None:
    return parse_traceparent(_only(found, b"traceparent"))


def _read_b3(found: Headers) -> Parent | None:
    """Whichever form it has; the one header wins."""
    return parse_b3(_only(found, b"b3")) or parse_b3(_single(found))


_READ: Final[dict[str, Callable[[Headers], Parent | None]]] = {
    "tracecontext": _read_tracecontext,
    "b3": _read_b3,
    "b3multi": _read_b3,
}


def join_tracestate(values: Iterable[bytes]) -> bytes:
    """Repeated headers as one, in order; empty when a member is malformed, doubled or one too many (section 3.3)."""
    members = [member for value in values for part in value.split(b",") if (member := part.strip(b" \t"))]
    keys = {member.partition(b"=")[0] for member in members}
    if len(keys) < len(members) or len(members) > _MEMBERS or not all(map(_MEMBER, members)):
        return b""
    return b",".join(members)


class Propagation:
    """The ways that OTEL_PROPAGATORS names, the first that finds a parent being believed."""

    def __init__(self, names: Iterable[str] = ("tracecontext",)) -> None:
        self._names = [name for name in names if name in FIELDS]
        self._fields = frozenset(field for name in self._names for field in FIELDS[name])
        self._standard = self._names[:1] == ["tracecontext"]
        self._templates = [_template(self._names, flags) for flags in range(8)]

    def concerns(self, headers: Headers) -> bool:
        """Whether any of the fields is about traces."""
        return not self._fields.isdisjoint(map(_NAME, headers))

    def declined(self, headers: Headers) -> bool:
        """Whether the caller says that the request is not traced, as most do; False: it takes a closer look to tell."""
        fields = dict(headers)
        told = fields.get(b"traceparent", b"") if len(fields) == len(headers) else b""  # else one may be there twice
        return self._standard and _DECLINED(told) is not None

    def found(self, headers: Headers) -> Headers:
        """The fields that are about traces."""
        return [field for field in headers if field[0] in self._fields]

    def without(self, headers: Headers) -> Headers:
        """All the other fields."""
        return [field for field in headers if field[0] not in self._fields]

    def parent(self, found: Headers) -> Parent | None:
        """The caller's span; None where there is none, or one that nobody understands."""
        for name in self._names:
            if (parent := _READ[name](found)) is not None:
                return parent
        return None

    def lines(self, trace_id: bytes, span_id: bytes, sampled: bool, random: bool = False, debug: bool = False) -> bytes:
        """The header lines that tell a backend its parent."""
        return self._templates[sampled | random << 1 | debug << 2] % ((trace_id, span_id) * len(self._names))


def propagation(environ: Mapping[str, str]) -> Propagation:
    """OTEL_PROPAGATORS; what is not known here is left out, and the log says so."""
    said = environ.get("OTEL_PROPAGATORS", "").lower().split(",")
    names = dict.fromkeys([name for part in said if (name := part.strip())] or ["tracecontext", "baggage"])
    for name in names:
        if name not in (*FIELDS, "baggage", "none"):
            log.warning("OTEL_PROPAGATORS: %s is not known here", name)
    return Propagation(names)


def _template(names: list[str], flags: int) -> bytes:
    """Header lines with room for trace and span id in each; ``flags``: 1 sampled, 2 random, 4 debug."""
    debug, sampled = flags & 4, flags & 1
    decision = b"x-b3-flags: 1" if debug else b"x-b3-sampled: %d" % sampled
    lines = {
        "tracecontext": b"traceparent: 00-%%b-%%b-%02x\r\n" % (flags & 3),
        "b3": b"b3: %%b-%%b-%b\r\n" % (b"d" if debug else b"%d" % sampled),
        # Not the parent's id: it is for those who share their span's with the caller, and OpenTelemetry does not.
        "b3multi": b"x-b3-traceid: %%b\r\nx-b3-spanid: %%b\r\n%b\r\n" % decision,
    }
    return b"".join(lines[name] for name in names)
