"""Event: one thing that happened to one request, as it lies in a spool until a sink has it.

What comes again with every event of a log, or of a client, is encoded once and then only copied (``Snapshot``).
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw

Kind = Literal["request", "response", "error"]


class Place(msgspec.Struct, array_like=True, frozen=True):
    """What all events of one log have in common."""

    graph: str
    node: str = ""
    step: str = ""
    sample_rate: float = 1.0
    series: str = ""
    """Begins the ids of its exchanges: random, and no other log's, in this process or any other."""


class Head(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a message's headers."""

    content_type: str = ""
    headers: list[tuple[str, str]] = []
    """Those that the log lists."""
    traceparent: str = ""
    given_id: str = ""
    """The client's own ``ce-id``."""


class Event(msgspec.Struct, array_like=True, gc=False):
    """Fields are only ever added, and at the end: a spool may be older than the program that reads it."""

    place: Place
    kind: Kind
    number: int
    """Of the exchange, the events of one request, within its series."""
    time: float
    """Unix time: a request's arrival, an answer's completion."""
    request_id: bytes
    asked: Head
    """The request's, whatever the kind."""
    answered: Head | None = None
    body: bytes = b""
    size: int = 0
    """Bytes that the body had; more than ``body`` has when it was cut."""
    status: int = 0
    route: bytes = b""
    duration: float = 0.0
    """Seconds from the request's arrival to here."""
    code: str = ""
    """Of a failure of the gateway's own."""

    @property
    def exchange(self) -> str:
        """What the events of one request, at one place, have in common; unique, unlike the request id. A UUID."""
        return f"{self.place.series}{self.number:012x}"

    @property
    def head(self) -> Head:
        """Of the message that this is about."""
        return self.answered or self.asked

    @property
    def truncated(self) -> bool:
        return self.size > len(self.body)


class Snapshot(msgspec.Struct, array_like=True, gc=False):
    """An Event as it is written: the same fields. Bodies are never changed in place, so a reference will do."""

    place: Raw
    kind: Kind
    number: int
    time: float
    request_id: bytes
    asked: Raw
    answered: Raw
    body: bytes
    size: int
    status: int = 0
    route: bytes = b""
    duration: float = 0.0
    code: str = ""


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Event).decode

NOTHING = Raw(encode(None))
"""The head of an answer that there is not."""
