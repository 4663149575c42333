from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing.relay import BATCH, DELAY, Relay
from gateway.telemetry.tracing.span import Attributes, Ended, Span
from tests.support.clock import virtual
from tests.support.service import ask
from tests.support.spans import Spans


def ended() -> Span:
    span = Spans().tracer().begin(ask())
    assert span is not None
    span.finish()
    return span


class Scene:
    """``room``: whether there is any where the spans go."""

    def __init__(self, batch: int = BATCH) -> None:
        self.sent: list[list[Ended]] = []
        self.room = True
        self._registry = Registry.private()
        self.relay = Relay(self._send, self._registry, batch)

    def _send(self, count: int, spans: bytes) -> bool:
        decoded = msgspec.msgpack.decode(spans, type=list[Ended])
        assert len(decoded) == count
        if self.room:
            self.sent.append(decoded)
        return self.room

    @property
    def dropped(self) -> float:
        return self._registry.counter("gateway_trace_spans_dropped_total").value


@virtual
async def test_spans_leave_together_a_moment_later() -> None:
    scene = Scene()
    first, second = ended(), ended()
    scene.relay(first)
    await asyncio.sleep(DELAY / 2)
    scene.relay(second)
    assert (scene.sent, repr(scene.relay)) == ([], "<Relay 2>")
    await asyncio.sleep(DELAY / 2 + 0.001)
    assert scene.sent == [[first.ended(), second.ended()]]
    await asyncio.sleep(2 * DELAY)
    assert len(scene.sent) == 1


@virtual
async def test_many_do_not_wait() -> None:
    scene = Scene()
    for _ in range(BATCH + 1):
        scene.relay(ended())
    assert scene.sent == []
    await asyncio.sleep(0.001)
    assert [len(batch) for batch in scene.sent] == [BATCH, 1]


@virtual
async def test_no_more_go_at_once_than_an_export_takes() -> None:
    scene = Scene(batch=1)
    scene.relay(ended())
    scene.relay(ended())
    await asyncio.sleep(0.001)
    assert [len(batch) for batch in scene.sent] == [1, 1]


@virtual
async def test_flush_waits_for_nothing() -> None:
    scene = Scene()
    scene.relay.flush()
    scene.relay(ended())
    scene.relay.flush()
    await asyncio.sleep(2 * DELAY)
    assert [len(batch) for batch in scene.sent] == [1]


@virtual
async def test_what_finds_no_room_is_dropped_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.room = False
    scene.relay(ended())
    scene.relay(ended())
    scene.relay.flush()
    assert (scene.sent, scene.dropped) == ([], 2)
    assert caplog.messages == ["traces: spans dropped=2 reason=full"]


def test_what_is_told_of_a_span() -> None:
    one, other = ended(), ended()
    one.name, one.attributes, one.links, one.error = "POST", {"a": "b", "c": 1, "d": True}, [other], "late"
    told = one.ended()
    names = ("trace_id", "id", "parent", "name", "kind", "start", "end", "attributes", "remote", "error")
    assert [getattr(told, name) for name in names] == [getattr(one, name) for name in names]
    assert told.links == [(other.trace_id, other.id)]


@virtual
async def test_what_can_wait_is_told_when_the_span_leaves() -> None:
    def describe(span: Span) -> Attributes:
        span.name = "POST iris"
        return {"a": 1, "b": 1}

    scene = Scene()
    span = ended()
    span.describe, span.attributes = describe, {"b": 2}
    scene.relay(span)
    assert (span.name, span.attributes) == ("", {"b": 2})
    scene.relay.flush()
    ((told,),) = scene.sent
    assert (told.name, told.attributes) == ("POST iris", {"a": 1, "b": 2})
    assert span.ended() == told


@virtual
async def test_whoever_wants_to_looks_at_what_leaves() -> None:
    seen: list[Ended] = []
    relay = Relay(lambda count, spans: False, Registry.private(), look=seen.append)
    span = ended()
    relay(span)
    relay.flush()
    assert seen == [span.ended()]
