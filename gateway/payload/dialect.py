"""Events as CloudEvents 1.0: attributes and data, in the gateway's own words or in those of KServe's logger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from gateway.config.payload import Sink

from .event import Event, Head

Attribute = str | int | bool


class CloudEvent(NamedTuple):
    """Attributes by name, none of them empty; ``content_type`` is the attribute ``datacontenttype``."""

    attributes: dict[str, Attribute]
    content_type: str
    data: bytes


Dialect = Callable[[Event], CloudEvent]

OURS = "io.gateway.inference.{}.v1"
KSERVE = "org.kubeflow.serving.inference.{}"


def dialect(sink: Sink) -> Dialect:
    """How ``sink`` wants to be spoken to."""
    speak = _kserve if sink.dialect == "kserve" else _gateway
    return lambda event: CloudEvent(
        {name: value for name, value in (_common(event, sink) | speak(event, sink)).items() if value != ""},
        event.head.content_type or ("application/json" if sink.dialect == "kserve" else ""),
        event.body,
    )


def _common(event: Event, sink: Sink) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {
        "specversion": "1.0",
        "source": sink.source or f"/graphs/{event.place.graph}",
        "time": datetime.fromtimestamp(event.time, UTC).isoformat(timespec="microseconds")[:-6] + "Z",
    }
    if event.truncated:
        attributes |= {"truncated": True, "datasize": event.size}
    return attributes


def _gateway(event: Event, sink: Sink) -> dict[str, Attribute]:
    place = event.place
    attributes: dict[str, Attribute] = {
        "id": f"{event.exchange}-{event.kind}",
        "type": OURS.format(event.kind),
        "correlationid": event.request_id.decode("latin-1"),
        "graph": place.graph,
        "node": place.node,
        "step": place.step,
        "branch": event.route.decode("latin-1"),
        "code": event.code,
        "traceparent": event.asked.traceparent,
        "metadata": _metadata(event.head) if event.head.headers else "",
    }
    if event.kind != "request":
        attributes |= {
            "status": event.status,
            "causationid": f"{event.exchange}-request",
            "durationms": round(event.duration * 1000),
        }
    if place.sample_rate < 1:
        # How many stand for one, a whole number (CloudEvents' sampling extension).
        attributes["sampledrate"] = round(1 / place.sample_rate) if place.sample_rate else 1
    return attributes


def _kserve(event: Event, sink: Sink) -> dict[str, Attribute]:
    """As pkg/logger of KServe's agent; there the answers that are logged are those with status 200."""
    answered = event.kind == "request" or (event.kind == "response" and event.status == 200)
    return {
        "id": event.asked.given_id or event.exchange,
        "type": KSERVE.format(event.kind) if answered else OURS.format("error"),
        "inferenceservicename": event.place.step or event.place.graph,
        "namespace": sink.kserve.namespace,
        "component": sink.kserve.component,
        "endpoint": sink.kserve.endpoint,
        "metadata": _metadata(event.head),
    }


def _metadata(head: Head) -> str:
    """Headers as KServe writes them: a JSON object of lists."""
    found: dict[str, list[str]] = {}
    for name, value in head.headers:
        found.setdefault(name, []).append(value)
    return orjson.dumps(found).decode()
