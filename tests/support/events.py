"""Payload events as they lie in a spool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from gateway.payload.event import NOTHING, Event, Head, Kind, Place, Snapshot, encode
from gateway.payload.frames import Frame, pack

PLACE = ("graph", "node", "step", "sample_rate", "series")
HEAD = ("content_type", "headers", "traceparent", "given_id")


def event(kind: Kind = "request", /, **fields: Any) -> Event:
    """Of the exchange ``x-000000000001`` in the graph ``g``, unless ``fields`` (Place's and Head's, too) say so."""
    place = {"graph": "g", "series": "x-"} | {name: fields.pop(name) for name in PLACE if name in fields}
    head = Head(**{name: fields.pop(name) for name in HEAD if name in fields})
    heads = {"asked": head} if kind == "request" else {"asked": head, "answered": head}
    return Event(**{"number": 1, "time": 0.0, "request_id": b"id-1"} | fields | heads, place=Place(**place), kind=kind)


def snapshot(body: bytes = b"", size: int | None = None) -> Snapshot:
    """A request's."""
    place, head = Raw(encode(Place("g"))), Raw(encode(Head()))
    return Snapshot(place, "request", 0, 0.0, b"id-1", head, NOTHING, body, len(body) if size is None else size)


def named(*names: str) -> Frame:
    """Requests whose events have these names for ``correlationid``, and ``<name>000000000001-request`` for ``id``."""
    return pack([event(series=name, request_id=name.encode()) for name in names])


def ids(names: Sequence[str]) -> list[str]:
    """The ids of events that were ``named``."""
    return [f"{name}000000000001-request" for name in names]
