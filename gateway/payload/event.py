"""Event: one thing that happened to one request, as it lies in a spool until a sink has it."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["request", "response", "error"]


class Event(msgspec.Struct, array_like=True, gc=False):
    """Fields are only ever added, and at the end: a spool may be older than the program that reads it."""

    kind: Kind
    exchange: str
    """What the events of one request, at one place, have in common; unique, unlike the request id."""
    time: float
    """Unix time: a request's arrival, an answer's completion."""
    graph: str
    node: str = ""
    step: str = ""
    request_id: str = ""
    content_type: str = ""
    body: bytes = b""
    size: int = 0
    """Bytes that the body had; more than ``body`` has when it was cut."""
    headers: list[tuple[str, str]] = []
    status: int = 0
    code: str = ""
    """Of a failure of the gateway's own."""
    branch: str = ""
    duration: float = 0.0
    """Seconds from the request's arrival to here."""
    traceparent: str = ""
    given_id: str = ""
    """The client's own ``ce-id``."""
    sample_rate: float = 1.0

    @property
    def truncated(self) -> bool:
        return self.size > len(self.body)


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Event).decode
