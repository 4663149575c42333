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
from tests.support.events import event

http = pytest.importorskip("cloudevents.core.bindings.http", reason="pip install -e '.[test]'")
formats = pytest.importorskip("cloudevents.core.formats.json")

BODY = b'{"predictions": [1.50, "caf\xc3\xa9"]}'
JSON = "application/json"
EVENTS = [
    event(time=1.5, step="s\u00e9", content_type=JSON, body=BODY, size=len(BODY), headers=[("a", "100 %")]),
    event("response", time=2.5, content_type=JSON, body=BODY, size=len(BODY), status=200, route=b"n=s"),
    event("response", number=2, content_type="application/octet-stream", body=b"\x00\xff", size=2, status=200),
    event(number=3, content_type=JSON, body=BODY[:5], size=len(BODY)),
    event("error", number=4, content_type="application/problem+json", body=b"{}", size=2, status=503, code="overload"),
    event(number=5),
]


def _posted(message: Message) -> Any:
    return http.HTTPMessage(headers=message.headers, body=message.body)


@pytest.mark.parametrize("words", ["gateway", "kserve"])
@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("event", EVENTS, ids=lambda one: f"{one.number}-{one.kind}")
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
    said = [dialect(Sink(type="stdout"))(one) for one in EVENTS]
    for one in json.loads(ENCODINGS["batched"](said).body):
        read = formats.JSONFormat().read(None, json.dumps(one))
        assert read.get_id() in {one.attributes["id"] for one in said}


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
        for one in EVENTS[:2]:
            headers, body = _kserve(one)
            async with client.post(server.make_url("/"), headers=headers, data=body) as answer:
                assert answer.status == 200
    assert pairs == {"x-000000000001": {"request": json.loads(BODY), "response": json.loads(BODY)}}


def _kserve(event: Event) -> Message:
    speak: Callable[[Event], CloudEvent] = dialect(Sink(type="stdout", dialect="kserve"))
    return ENCODINGS["binary"]([speak(event)])
