"""What others read of our events: the CloudEvents library, and a consumer written for KServe's logger."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from gateway.config.payload import Sink
from gateway.payload.content import ENCODINGS, Message
from gateway.payload.dialect import CloudEvent, dialect
from gateway.payload.event import Event

http = pytest.importorskip("cloudevents.core.bindings.http", reason="pip install -e '.[test]'")
formats = pytest.importorskip("cloudevents.core.formats.json")

BODY = b'{"predictions": [1.50, "caf\xc3\xa9"]}'
EVENTS = [
    Event("request", "x-1", 1.5, "g", "n", "s\u00e9", "id-1", "application/json", BODY, len(BODY), [("a", "100 %")]),
    Event("response", "x-1", 2.5, "g", "n", "s", "id-1", "application/json", BODY, len(BODY), [], 200, "", "n=s"),
    Event("response", "x-2", 2.5, "g", "", "", "id-2", "application/octet-stream", b"\x00\xff", 2, [], 200),
    Event("request", "x-3", 2.5, "g", "", "", "id-3", "application/json", BODY[:5], len(BODY)),
    Event("error", "x-4", 3.5, "g", "n", "s", "id-4", "application/problem+json", b"{}", 2, [], 503, "overload"),
    Event("request", "x-5", 3.5, "g"),
]


def _posted(message: Message) -> Any:
    return http.HTTPMessage(headers=message.headers, body=message.body)


@pytest.mark.parametrize("words", ["gateway", "kserve"])
@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.exchange}-{event.kind}")
def test_the_library_reads_every_event(event: Event, mode: Any, words: Any) -> None:
    said = dialect(Sink(type="stdout", dialect=words))(event)
    read = http.from_http_event(_posted(ENCODINGS[mode]([said])))
    attributes = read.get_attributes()
    for name, value in said.attributes.items():
        if name != "time":
            assert str(attributes[name]).lower() == str(value).lower()
    assert attributes["time"].timestamp() == event.time
    assert _same(read.get_data(), event.body)


def _same(data: Any, body: bytes) -> bool:
    """The library hands out JSON parsed, and text and bytes as they are."""
    if isinstance(data, bytes):
        return data == body
    if isinstance(data, str):
        return data.encode() == body
    return (data is None and not body) or data == json.loads(body)


def test_the_library_reads_a_batch() -> None:
    said = [dialect(Sink(type="stdout"))(event) for event in EVENTS]
    for one in json.loads(ENCODINGS["batched"](said).body):
        read = formats.JSONFormat().read(None, json.dumps(one))
        assert read.get_id() in {event.attributes["id"] for event in said}


async def test_a_consumer_of_kserves_events() -> None:
    """As alibi-detect's servers do: headers by their KServe names, the body as v1 JSON, pairs by id."""
    pairs: dict[str, dict[str, Any]] = {}

    async def consume(request: web.Request) -> web.Response:
        assert request.headers["ce-specversion"] == "1.0"
        assert request.headers["ce-inferenceservicename"]
        assert request.headers["ce-namespace"] == "default"
        json.loads(unquote(request.headers["ce-metadata"]))
        kind = request.headers["ce-type"].removeprefix("org.kubeflow.serving.inference.")
        pairs.setdefault(request.headers["ce-id"], {})[kind] = await request.json()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", consume)
    async with TestServer(app) as server, ClientSession() as client:
        for event in EVENTS[:2]:
            headers, body = _kserve(event)
            async with client.post(server.make_url("/"), headers=headers, data=body) as answer:
                assert answer.status == 200
    assert pairs == {"x-1": {"request": json.loads(BODY), "response": json.loads(BODY)}}


def _kserve(event: Event) -> Message:
    speak: Callable[[Event], CloudEvent] = dialect(Sink(type="stdout", dialect="kserve"))
    return ENCODINGS["binary"]([speak(event)])
