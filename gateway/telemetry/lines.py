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

from gateway.message import Record, header

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


def line(record: Record, epoch: float) -> Line:
    """``record`` in words. ``epoch``: Unix time when the clock that times requests was at 0."""
    # After a good answer nobody asks for the errors that were got over on the way.
    failure = record.failure if record.status >= 400 else ""
    return Line(
        datetime.fromtimestamp(epoch + record.started, UTC),
        _text(record.method),
        _path(record.target),
        record.graph,
        record.status,
        _flags(failure, record),
        failure,
        record.received,
        _sent(record),
        int(record.seconds * 1e6) / 1e3,
        int(record.upstream * 1e6) / 1e3,
        int(record.queued * 1e6) / 1e3,
        record.attempts,
        b", ".join(record.route).decode("utf-8", "replace"),
        _text(record.id),
        _trace_id(record).decode(),
        _text(record.peer),
        "HTTP/1.1" if record.minor else "HTTP/1.0",
    )


def _sent(record: Record) -> int:
    return record.sent if record.method != b"HEAD" else 0


def _trace_id(record: Record) -> bytes:
    """The gateway's own trace, or the one that the client's ``traceparent`` names."""
    parent = header(record.headers, b"traceparent")
    trace = _TRACE(parent) if parent else None
    return record.trace_id or (trace[1] if trace else b"")


def _flags(failure: str, record: Record) -> str:
    cause = "UR" if record.reset and failure == "upstream_reset" else FLAGS.get(failure)
    return ",".join(filter(None, (cause, *record.flags))) or "-"


def _text(part: bytes) -> str:
    return part.decode("ascii", "backslashreplace")


def _path(target: bytes) -> str:
    return _text(target.partition(b"?")[0])[:LONGEST_PATH]


# Text.


def as_text(records: Sequence[Record], epoch: float) -> bytes:
    """``time client "method path protocol" status flags``, then the other fields by name; ``-``: nothing there."""
    return "".join([_sentence(line(record, epoch)) for record in records]).encode()


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
    "ts": (msgspec.Raw(b'"%bZ"' % _PLACE), b"%b%b%b"),
    "path": (_BARE, b"%b"),
    **dict.fromkeys(("bytes_in", "bytes_out"), (_BARE, b"%d")),
    **dict.fromkeys(("duration_ms", "upstream_ms"), (_BARE, b"%d%b")),
    "queue_ms": (_BARE, b"%b"),
    "attempts": (_BARE, b"%d"),
    **dict.fromkeys(("request_id", "trace_id"), (_QUOTED, b"%b")),
    "client": (_BARE, b"%b"),
}
"""The fields that differ, in their order; each with what takes its place."""

_DIGITS: Final = [b"%03d" % number for number in range(1000)]
_DECIMALS: Final = [b"." + (digits.rstrip(b"0") or b"0") for digits in _DIGITS]
"""Thousandths, as short as JSON has them."""

_REMEMBERED = 1024
_LONGEST = 256


class Quoted(dict[bytes, bytes]):
    """What comes again and again, as JSON strings; bounded."""

    def __init__(self, text: Callable[[bytes], str]) -> None:
        super().__init__()
        self._text = text

    def __missing__(self, part: bytes) -> bytes:
        quoted = msgspec.json.encode(self._text(part))
        if len(part) <= _LONGEST:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[part] = quoted
        return quoted


class Json:
    """Writes each record as a JSON object: a ``Line``."""

    def __init__(self) -> None:
        self._patterns: dict[tuple[object, ...], bytes] = {}
        self._paths = Quoted(_path)
        self._clients = Quoted(_text)
        self._second = 0
        self._date = b""

    def __call__(self, records: Sequence[Record], epoch: float) -> bytes:
        patterns, paths, clients = self._patterns, self._paths, self._clients
        digits, decimals = _DIGITS, _DECIMALS
        written = []
        for record in records:  # and no call for each, which would be a tenth of it
            route = record.route
            branch = route[0] if len(route) == 1 else b", ".join(route)
            kind: tuple[object, ...] = record.method, record.graph, record.status, record.minor, branch
            if record.failure or record.flags:
                kind += record.failure, record.reset, record.flags
            arrived = epoch + record.started - self._second
            if not 0.0 <= arrived < 1.0:
                arrived = self._turn(epoch + record.started)
            micros, took, upstream = floor(arrived * 1e6), floor(record.seconds * 1e6), floor(record.upstream * 1e6)
            written.append(
                (patterns.get(kind) or self._learn(kind, record, epoch))
                % (
                    self._date,
                    digits[micros // 1000],
                    digits[micros % 1000],
                    paths[record.target],
                    record.received,
                    record.sent if record.method != b"HEAD" else 0,
                    took // 1000,
                    decimals[took % 1000],
                    upstream // 1000,
                    decimals[upstream % 1000],
                    _milliseconds(record.queued) if record.queued else b"0.0",
                    record.attempts,
                    record.id,
                    _trace_id(record) if record.headers or record.trace_id else b"",
                    clients[record.peer],
                )
            )
        return b"".join(written)

    def _turn(self, arrived: float) -> float:
        """Begin another second, that of ``arrived``, and tell how much of it was over then."""
        self._second = int(arrived)
        self._date = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(arrived)).encode()
        return arrived - self._second

    def _learn(self, kind: tuple[object, ...], record: Record, epoch: float) -> bytes:
        """A line of this kind, to be filled in with the fields that differ."""
        if len(self._patterns) >= _REMEMBERED:
            self._patterns.clear()
        places = {name: place for name, (place, _) in _PLACES.items()}
        fields = msgspec.json.encode(msgspec.structs.asdict(line(record, epoch)) | places)
        pattern = fields.replace(b"%", b"%%") + b"\n"
        for _, filled in _PLACES.values():
            pattern = pattern.replace(_PLACE, filled, 1)
        self._patterns[kind] = pattern
        return pattern


def _milliseconds(seconds: float) -> bytes:
    micros = floor(seconds * 1e6)
    return b"%d%b" % (micros // 1000, _DECIMALS[micros % 1000])
