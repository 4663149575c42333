"""Lines of the access log: what is known of a request that has ended, and how that is put into words.

The rule: no header, no query and no body is ever in a line. Field names are those of the JSON; flags are Envoy's (its
access log documentation, RESPONSE_FLAGS).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import floor
from time import gmtime, strftime
from typing import Final

import msgspec

from gateway.message import Headers, Record, header

LONGEST_PATH: Final = 1024
"""Characters; what exceeds them is left out, so that a line fits into what a pipe takes in one piece."""

FLAGS: Final = {
    "upstream_connect_failure": "UF",
    "upstream_overflow": "UO",
    "queue_timeout": "UO",
    "queue_too_long": "UO",
    "upstream_timeout": "UT",
    "upstream_reset": "UC",
    "upstream_protocol_error": "UPE",
    "upstream_bad_answer": "UPE",
    "no_healthy_upstream": "UH",
    "overload": "OM",
    "buffers_full": "OM",
    "not_found": "NR",
    "no_route_matched": "NR",
    "deadline_exceeded": "DT",
    "abandoned": "DT",
    "client_closed_request": "DC",
    "connection_cut": "LR",
    "bad_request": "DPE",
    "headers_too_large": "DPE",
    "uri_too_long": "DPE",
    "not_implemented": "DPE",
    "expectation_failed": "DPE",
    "unsupported_media_type": "DPE",
}
"""By the code of the error."""

_TRACE = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}").match


class Entry(msgspec.Struct, gc=False):
    """A request that has ended, as far as it is known before anybody puts it into words."""

    started: float
    """When it had arrived whole, by the clock that times requests."""
    seconds: float
    method: bytes
    target: bytes
    headers: Headers
    """Of no interest but for a ``traceparent``; empty where there can be none."""
    minor: int
    id: bytes
    """One that is well formed (layers/recover.py), and needs no quoting."""
    peer: bytes
    route: list[bytes]
    record: Record
    received: int
    """Bytes of the body."""
    status: int
    sent: int
    """Bytes of the answer's body."""

    @property
    def trace_id(self) -> bytes:
        """The gateway's own trace, or the one that the client's ``traceparent`` names."""
        parent = header(self.headers, b"traceparent")
        trace = _TRACE(parent) if parent else None
        return self.record.trace_id or (trace[1] if trace else b"")


class Line(msgspec.Struct, gc=False):
    """What is written of it, in this order; times are milliseconds."""

    ts: datetime
    """When the request had arrived."""
    method: str
    path: str
    route: str
    status: int
    flags: str
    details: str
    bytes_in: int
    bytes_out: int
    duration_ms: float
    upstream_ms: float
    queue_ms: float
    attempts: int
    branch: str
    request_id: str
    trace_id: str
    client: str
    protocol: str


def line(entry: Entry, epoch: float) -> Line:
    """``entry`` in words. ``epoch``: Unix time when the clock that times requests was at 0."""
    record, status = entry.record, entry.status
    # After a good answer nobody asks for the errors that were got over on the way.
    failure = record.failure if status >= 400 else ""
    return Line(
        datetime.fromtimestamp(epoch + entry.started, UTC),
        _text(entry.method),
        _path(entry.target),
        record.graph,
        status,
        _flags(failure, record),
        failure,
        entry.received,
        _sent(entry),
        int(entry.seconds * 1e6) / 1e3,
        int(record.upstream * 1e6) / 1e3,
        int(record.queued * 1e6) / 1e3,
        record.attempts,
        b", ".join(entry.route).decode("utf-8", "replace"),
        _text(entry.id),
        entry.trace_id.decode(),
        _text(entry.peer),
        "HTTP/1.1" if entry.minor else "HTTP/1.0",
    )


def _sent(entry: Entry) -> int:
    return entry.sent if entry.method != b"HEAD" else 0


def _flags(failure: str, record: Record) -> str:
    cause = "UR" if record.reset and failure == "upstream_reset" else FLAGS.get(failure)
    return ",".join(filter(None, (cause, *record.flags))) or "-"


def _text(part: bytes) -> str:
    return part.decode("ascii", "backslashreplace")


def _path(target: bytes) -> str:
    return _text(target.partition(b"?")[0])[:LONGEST_PATH]


# Text.


def as_text(entries: Sequence[Entry], epoch: float) -> bytes:
    """``time client "method path protocol" status flags``, then the other fields by name; ``-``: nothing there."""
    return "".join([_sentence(line(entry, epoch)) for entry in entries]).encode()


def _sentence(line: Line) -> str:
    time, request = line.ts.isoformat(timespec="milliseconds")[:-6], f"{line.method} {line.path} {line.protocol}"
    start = f"{time}Z {line.client or '-'} {_quoted(request)} {line.status} {line.flags}"
    rest = " ".join([f"{name}={_word(str(getattr(line, name)))}" for name in _NAMED])
    return f"{start} {rest}\n"


_NAMED: Final = [
    name
    for name in Line.__struct_fields__
    if name not in ("ts", "client", "method", "path", "protocol", "status", "flags")
]

_WORD: Final = re.compile(r"[^\s\"\\]+").fullmatch


def _word(text: str) -> str:
    return text if _WORD(text) else _quoted(text) if text else "-"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


# JSON, which a busy gateway writes: what many lines have in common is put into words once.

_PLACE: Final = b"\0"
"""Stands for what differs from line to line. No JSON has that byte in it."""

_BARE, _QUOTED = msgspec.Raw(_PLACE), msgspec.Raw(b'"%b"' % _PLACE)
_PLACES: Final = {
    "ts": msgspec.Raw(b'"%bZ"' % _PLACE),
    **dict.fromkeys(("path", "bytes_in", "bytes_out", "duration_ms", "upstream_ms", "queue_ms", "attempts"), _BARE),
    **dict.fromkeys(("request_id", "trace_id"), _QUOTED),
    "client": _BARE,
}
"""The fields that differ, in their order."""

_DIGITS: Final = [f"{number:03}" for number in range(1000)]
_DECIMALS: Final = ["." + (digits.rstrip("0") or "0") for digits in _DIGITS]
"""Thousandths, as short as JSON has them."""

_REMEMBERED = 1024
_LONGEST = 256


class Quoted(dict[bytes, str]):
    """What comes again and again, as JSON strings; bounded."""

    def __init__(self, text: Callable[[bytes], str]) -> None:
        super().__init__()
        self._text = text

    def __missing__(self, part: bytes) -> str:
        quoted = _quoted(self._text(part))
        if len(part) <= _LONGEST:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[part] = quoted
        return quoted


class Json:
    """Writes each entry as a JSON object: a ``Line``."""

    def __init__(self) -> None:
        self._patterns: dict[tuple[object, ...], list[str]] = {}
        self._paths = Quoted(_path)
        self._clients = Quoted(_text)
        self._second = 0
        self._date = ""

    def __call__(self, entries: Sequence[Entry], epoch: float) -> bytes:
        patterns, paths, clients = self._patterns, self._paths, self._clients
        written = []
        for entry in entries:  # and no call for each, which would be a tenth of it
            record = entry.record
            kind: tuple[object, ...]
            kind = entry.method, record.graph, entry.status, entry.minor, b", ".join(entry.route)
            if record.failure or record.flags:
                kind += record.failure, record.reset, record.flags
            a, b, c, d, e, f, g, h, i, j, k, z = patterns.get(kind) or self._learn(kind, entry, epoch)
            fraction = epoch + entry.started - self._second
            if not 0.0 <= fraction < 1.0:
                fraction = self._turn(epoch + entry.started)
            micros, took, upstream = floor(fraction * 1e6), floor(entry.seconds * 1e6), floor(record.upstream * 1e6)
            queued = _milliseconds(record.queued) if record.queued else "0.0"
            trace_id = entry.trace_id.decode() if entry.headers or record.trace_id else ""
            written.append(
                f"{a}{self._date}{_DIGITS[micros // 1000]}{_DIGITS[micros % 1000]}{b}{paths[entry.target]}"
                f"{c}{entry.received}{d}{entry.sent if entry.method != b'HEAD' else 0}"
                f"{e}{took // 1000}{_DECIMALS[took % 1000]}{f}{upstream // 1000}{_DECIMALS[upstream % 1000]}"
                f"{g}{queued}{h}{record.attempts}{i}{entry.id.decode()}{j}{trace_id}{k}{clients[entry.peer]}{z}"
            )
        return "".join(written).encode()

    def _turn(self, arrived: float) -> float:
        """Begin another second, that of ``arrived``, and tell how much of it was over then."""
        self._second = int(arrived)
        self._date = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(arrived))
        return arrived - self._second

    def _learn(self, kind: tuple[object, ...], entry: Entry, epoch: float) -> list[str]:
        """What stands before, between and after the fields that differ, in all lines of this kind."""
        if len(self._patterns) >= _REMEMBERED:
            self._patterns.clear()
        fields = msgspec.structs.asdict(line(entry, epoch)) | _PLACES
        pattern = msgspec.json.encode(fields) + b"\n"
        parts = self._patterns[kind] = pattern.decode().split(_PLACE.decode())
        return parts


def _milliseconds(seconds: float) -> str:
    micros = floor(seconds * 1e6)
    return f"{micros // 1000}{_DECIMALS[micros % 1000]}"
