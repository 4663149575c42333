from __future__ import annotations

from functools import partial

import pytest

from gateway.errors import ClientClosed, GatewayError, UpstreamProtocolError, UpstreamReset
from gateway.message import Response
from gateway.stream import Stream
from tests.support.streams import MockSink, MockSource


def flowing(length: int | None = None) -> tuple[Stream, MockSource, MockSink]:
    source, sink = MockSource(), MockSink()
    stream = Stream(source, length)
    stream.connect(sink)
    stream.resume()
    return stream, source, sink


def ends(stream: Stream) -> list[GatewayError | None]:
    """What those are told who asked."""
    told: list[GatewayError | None] = []
    stream.when_ended(told.append)
    return told


def test_what_comes_is_handed_on_in_order_to_the_end() -> None:
    stream, source, sink = flowing()
    told = ends(stream)
    stream.chunk(b"a")
    stream.chunk(b"b")
    assert not told
    stream.end()
    assert sink.heard == [b"a", b"b", None]
    assert told == [None]
    assert source.said == ["resume"]


def test_what_comes_before_somebody_takes_it_waits_and_so_does_the_end() -> None:
    source, sink = MockSource(), MockSink()
    stream = Stream(source)
    told = ends(stream)
    stream.chunk(b"a")
    stream.chunk(b"b")
    stream.end()
    assert not told
    stream.connect(sink)
    assert sink.heard == [b"ab", None]
    assert told == [None]
    stream.resume()
    assert source.said == []


def test_what_was_taken_beforehand_is_not_handed_on_again() -> None:
    sink = MockSink()
    stream = Stream(MockSource())
    stream.chunk(b"a")
    assert stream.take() == b"a"
    stream.connect(sink)
    assert sink.heard == []


def test_a_failure_waits_too() -> None:
    sink, error = MockSink(), UpstreamReset("gone")
    stream = Stream(MockSource())
    told = ends(stream)
    stream.fail(error)
    assert not told
    stream.connect(sink)
    assert sink.heard == [error]
    assert told == [error]


def test_pausing_and_going_on_reach_the_source_once_each() -> None:
    stream, source, _ = flowing()
    for say in (stream.pause, stream.pause, stream.resume, stream.resume):
        say()
    assert source.said == ["resume", "pause", "resume"]


def test_what_was_on_its_way_when_it_was_paused_still_comes() -> None:
    stream, _, sink = flowing()
    stream.pause()
    stream.chunk(b"a")
    assert sink.heard == [b"a"]


@pytest.mark.parametrize("error", [None, ClientClosed("left")])
def test_cancelled_it_ends_once_and_the_sink_is_not_told(error: GatewayError | None) -> None:
    stream, source, sink = flowing()
    told = ends(stream)
    stream.cancel(error)
    stream.cancel(UpstreamReset("too late"))
    stream.fail(UpstreamReset("too late"))
    stream.resume()
    assert told == [error]
    assert sink.heard == []
    assert source.said == ["resume", "cancel"]


def test_those_who_ask_first_are_told_first_and_all_before_the_sink() -> None:
    order: list[str] = []
    stream = Stream(MockSource())
    stream.when_ended(lambda _: order.append("first"))
    stream.when_ended(lambda _: order.append("second"))
    stream.connect(MockSink(ended=partial(order.append, "sink")))
    stream.end()
    assert order == ["first", "second", "sink"]


def test_who_asks_after_the_end_is_told_at_once() -> None:
    stream, _, _ = flowing()
    error = UpstreamReset("gone")
    stream.fail(error)
    assert ends(stream) == [error]


def test_a_body_as_long_as_it_said_is_whole() -> None:
    stream, source, sink = flowing(3)
    stream.chunk(b"ab")
    stream.chunk(b"c")
    stream.end()
    assert sink.heard == [b"ab", b"c", None]
    assert source.said == ["resume"]


def test_a_body_shorter_than_it_said_has_failed() -> None:
    stream, _, sink = flowing(3)
    told = ends(stream)
    stream.chunk(b"ab")
    stream.end()
    assert sink.heard[0] == b"ab"
    assert isinstance(sink.heard[1], UpstreamProtocolError)
    assert told == sink.heard[1:]


def test_a_body_longer_than_it_said_has_failed_and_is_not_handed_on_further() -> None:
    stream, source, sink = flowing(3)
    stream.chunk(b"ab")
    stream.chunk(b"cd")
    assert sink.heard[0] == b"ab"
    assert isinstance(sink.heard[1], UpstreamProtocolError)
    assert source.said == ["resume", "cancel"]


def test_an_answer_that_is_dropped_ends_its_stream_and_nobody_is_to_blame() -> None:
    stream, source, _ = flowing()
    told = ends(stream)
    Response(503, [], stream=stream).drop()
    Response(503, []).drop()
    assert told == [None]
    assert source.said[-1] == "cancel"


def test_its_repr_tells_its_state() -> None:
    stream, _, _ = flowing(3)
    assert repr(stream) == "<Stream flowing of 3 bytes>"
    stream.pause()
    assert repr(stream) == "<Stream paused of 3 bytes>"
    stream.cancel()
    assert repr(stream) == "<Stream ended of 3 bytes>"


def test_a_tap_sees_every_piece_those_included_that_came_before_it() -> None:
    stream, seen = Stream(MockSource()), list[bytes]()
    stream.chunk(b"a")
    stream.tap(seen.append)
    stream.chunk(b"b")
    sink = MockSink()
    stream.connect(sink)
    stream.resume()
    stream.chunk(b"c")
    stream.end()
    assert seen == [b"a", b"b", b"c"]
    assert b"".join(piece for piece in sink.heard if isinstance(piece, bytes)) == b"abc"
