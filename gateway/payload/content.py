"""CloudEvents as bytes: the HTTP binding's three content modes and the JSON format, both 1.0.2.

JSON bodies are embedded as they came, digit for digit.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote

import orjson

from .dialect import CloudEvent

_SAFE = "".join(char for char in map(chr, range(0x21, 0x7F)) if char not in '"%')
_JSON = re.compile(r"(application|text)/([^;]+\+)?json\s*(;|$)", re.IGNORECASE).match
_TEXT = re.compile(r"text/", re.IGNORECASE).match


class Message(NamedTuple):
    """What an HTTP sink is sent."""

    headers: dict[str, str]
    body: bytes


Encoding = Callable[[Sequence[CloudEvent]], Message]


def binary(events: Sequence[CloudEvent]) -> Message:
    """One event; its attributes are headers (section 3.1)."""
    (event,) = events
    headers = {f"ce-{name}": _value(value) for name, value in event.attributes.items()}
    if event.content_type:
        headers["content-type"] = event.content_type
    return Message(headers, event.data)


def structured(events: Sequence[CloudEvent]) -> Message:
    """One event as JSON (section 3.2)."""
    (event,) = events
    return Message({"content-type": "application/cloudevents+json; charset=UTF-8"}, as_json(event))


def batched(events: Sequence[CloudEvent]) -> Message:
    """Several events as a JSON array (section 3.3)."""
    body = b"[" + b",".join(map(as_json, events)) + b"]"
    return Message({"content-type": "application/cloudevents-batch+json; charset=UTF-8"}, body)


ENCODINGS: dict[str, Encoding] = {"binary": binary, "structured": structured, "batched": batched}


def as_json(event: CloudEvent) -> bytes:
    """The event in CloudEvents' JSON format, on one line."""
    whole: dict[str, object] = dict(event.attributes)
    if event.content_type:
        whole["datacontenttype"] = event.content_type
    if event.data:
        whole |= _data(event)
    return orjson.dumps(whole)


def _data(event: CloudEvent) -> dict[str, object]:
    # Without a datacontenttype, data is JSON (JSON format, section 3.1.1).
    try:
        if not event.content_type or _JSON(event.content_type):
            orjson.loads(event.data)
            return {"data": orjson.Fragment(b" ".join(event.data.splitlines()))}
        if _TEXT(event.content_type):
            return {"data": event.data.decode()}
    except ValueError:  # not JSON, or no UTF-8
        pass
    return {"data_base64": b64encode(event.data).decode()}


def _value(value: object) -> str:
    """Percent-encoded (section 3.1.3.2)."""
    return quote(str(value).lower() if isinstance(value, bool) else str(value), safe=_SAFE)
