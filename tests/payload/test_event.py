import msgspec
from msgspec import Raw

from gateway.payload.event import NOTHING, Event, Head, Place, Snapshot, decode, encode
from tests.support.events import event


def test_it_survives_the_spool() -> None:
    made = event("response", body=b"\x00\xff", size=9, headers=[("a", "b")], status=200)
    assert decode(encode(made)) == made


def test_a_snapshot_is_an_event_in_the_making() -> None:
    """Every field stands where its name says."""
    place, asked, answered = Place("g", "n", "s", 0.5, "x-"), Head("text/json"), Head("text/plain")
    fields = ("response", 7, 1.5, b"id-1", b"[1]", 3, 200, b"n=s", 0.25, "overload")
    kind, number, time, request_id, body, size, status, route, duration, code = fields
    raw = Snapshot(
        *(Raw(encode(place)), kind, number, time, request_id, Raw(encode(asked)), Raw(encode(answered))),
        *(body, size, status, route, duration, code),
    )
    made = Event(place, kind, number, time, request_id, asked, answered, body, size, status, route, duration, code)
    assert decode(encode(raw)) == made
    assert Snapshot.__struct_fields__ == Event.__struct_fields__


def test_a_request_has_no_answers_head() -> None:
    made = event(content_type="text/json")
    raw = Snapshot(Raw(encode(made.place)), "request", 1, 0.0, b"id-1", Raw(encode(made.asked)), NOTHING, b"", 0)
    assert decode(encode(raw)) == made
    assert made.head.content_type == "text/json"


def test_an_older_spool_can_be_read() -> None:
    older = msgspec.msgpack.encode([["g"], "request", 1, 1.5, b"id-1", []])
    assert decode(older) == Event(Place("g"), "request", 1, 1.5, b"id-1", Head())


def test_a_body_that_is_shorter_than_it_was_is_truncated() -> None:
    assert event(body=b"ab", size=9).truncated
    assert not event(body=b"ab", size=2).truncated
