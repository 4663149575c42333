"""The access log: one line a request, written in batches. No header, no query and no body is ever in it.

Field names are those of the JSON; flags are Envoy's (its access log documentation, RESPONSE_FLAGS).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from random import random
from typing import Final

import msgspec

from gateway.config.telemetry import AccessLog as Config
from gateway.message import Headers, Record, header

from .journal import Journal
from .metrics import Registry

DELAY: Final = 0.1
"""Seconds that a line waits for others, at most."""

BATCH: Final = 256
"""Lines written as soon as there are so many."""

LONGEST_PATH: Final = 1024
"""Characters; what exceeds them is left out, so that a line fits into what a pipe takes in one piece."""

FLAGS: Final = {
    "upstream_connect_failure": "UF",
    "upstream_overflow": "UO",
    "queue_timeout": "UO",
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
    "bad_request": "DPE",
}
"""By the code of the error."""

_TRACE = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}").match


class Entry(msgspec.Struct, gc=False):
    """A request that has ended, as far as it is known before anybody puts it into words."""

    ended: float
    """Unix time."""
    seconds: float
    method: bytes
    target: bytes
    headers: Headers
    minor: int
    id: bytes
    peer: bytes
    route: list[bytes]
    record: Record
    received: int
    """Bytes of the body."""
    status: int
    sent: int
    """Bytes of the answer's body."""


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


def line(entry: Entry) -> Line:
    """``entry`` in words."""
    record, status = entry.record, entry.status
    # After a good answer nobody asks for the errors that were got over on the way.
    failure = record.failure if status >= 400 else ""
    parent = header(entry.headers, b"traceparent")
    trace = _TRACE(parent) if parent else None
    return Line(
        datetime.fromtimestamp(entry.ended - entry.seconds, UTC),
        _text(entry.method),
        _text(entry.target.partition(b"?")[0])[:LONGEST_PATH],
        record.graph,
        status,
        _flags(failure, record.flags) if failure or record.flags else "-",
        failure,
        entry.received,
        entry.sent if entry.method != b"HEAD" else 0,
        int(entry.seconds * 1e6) / 1e3,
        int(record.upstream * 1e6) / 1e3,
        int(record.queued * 1e6) / 1e3,
        record.attempts,
        b", ".join(entry.route).decode("utf-8", "replace"),
        _text(entry.id),
        (record.trace_id or (trace[1] if trace else b"")).decode(),
        _text(entry.peer),
        "HTTP/1.1" if entry.minor else "HTTP/1.0",
    )


def _flags(failure: str, others: tuple[str, ...]) -> str:
    return ",".join(filter(None, (FLAGS.get(failure), *others))) or "-"


def _text(part: bytes) -> str:
    return part.decode("ascii", "backslashreplace")


_encode: Final = msgspec.json.Encoder().encode


def as_json(line: Line) -> bytes:
    """One JSON object."""
    return _encode(line) + b"\n"


def as_text(line: Line) -> bytes:
    """``time client "method path protocol" status flags``, then the other fields by name; ``-``: nothing there."""
    time, request = line.ts.isoformat(timespec="milliseconds")[:-6], f"{line.method} {line.path} {line.protocol}"
    start = f"{time}Z {line.client or '-'} {_quoted(request)} {line.status} {line.flags}"
    rest = " ".join([f"{name}={_word(str(getattr(line, name)))}" for name in _NAMED])
    return f"{start} {rest}\n".encode()


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


class AccessLog:
    """Collects what ended and hands it on, ``DELAY`` later or ``BATCH`` at a time. Raises OSError without its file."""

    def __init__(self, config: Config, registry: Registry, random: Callable[[], float] = random) -> None:
        counts = [registry.counter("gateway_access_log_dropped_total", reason=reason) for reason in ("full", "failed")]
        self.journal = Journal(config.path, *counts)
        self._written = as_json if config.format == "json" else as_text
        self._least = 400 if config.errors_only else 0
        self._rate = config.sample_rate
        self._random = random
        self._entries: list[Entry] = []
        self._timer: asyncio.TimerHandle | None = None
        self._later = asyncio.get_running_loop().call_later

    def __repr__(self) -> str:
        return f"<AccessLog {len(self._entries)} {self.journal!r}>"

    def note(self, entry: Entry) -> None:
        """Take what is known of a request that has ended."""
        if entry.status < self._least or (self._rate < 1.0 and self._random() >= self._rate):
            return
        self._entries.append(entry)
        if self._timer is None:
            self._timer = self._later(DELAY, self.hand_on)
        elif len(self._entries) == BATCH:
            # Not at once: the answer to the request goes out first.
            self._timer.cancel()
            self._timer = self._later(0.0, self.hand_on)

    def hand_on(self) -> None:
        """Have what is there written now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entries, self._entries = self._entries, []
        if entries:
            self.journal.write([self._written(line(entry)) for entry in entries])

    def reopen(self) -> None:
        """The file has been moved away: go on in a new one."""
        self.hand_on()
        self.journal.reopen()

    def close(self) -> None:
        """Nobody will note anything any more."""
        self.hand_on()
        self.journal.close()
