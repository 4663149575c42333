from typing import Any

import pytest

from gateway.config.payload import PayloadLog
from gateway.errors import BadRequest
from gateway.message import Encoded, Response
from gateway.payload.event import Event, Snapshot, decode, encode
from gateway.payload.recorder import _KNOWN, Recorder
from gateway.problem import problem
from tests.support.events import snapshot

HEADERS = [
    (b"content-type", b"application/json"),
    (b"x-tenant", b"caf\xe9"),
    (b"cookie", b"s3cret"),
    (b"x-tenant", b"b"),
    (b"traceparent", b"00-a-b-01"),
    (b"ce-id", b"theirs"),
]


def recorder(**log: Any) -> Recorder:
    return Recorder(PayloadLog(sink="s", **log), "g", "n", "s")


def event(message: Response, **log: Any) -> Event:
    taken = snapshot()
    taken.asked = recorder(**log).head(message)
    return decode(encode(taken))


def redacted(body: bytes, size: int | None = None, **log: Any) -> Snapshot:
    taken = snapshot(body, size)
    recorder(**log).redact(taken)
    return taken


def test_what_is_kept_of_headers() -> None:
    head = event(Response(200, HEADERS)).head
    assert (head.content_type, head.traceparent, head.given_id) == ("application/json", "00-a-b-01", "theirs")
    assert event(Response(200, [])).head.content_type == ""


def test_only_headers_that_are_listed_are_kept() -> None:
    assert event(Response(200, HEADERS)).head.headers == []
    assert event(Response(200, HEADERS), headers=("X-Tenant", "Cookie")).head.headers == [
        ("x-tenant", "café"),
        ("cookie", "s3cret"),
        ("x-tenant", "b"),
    ]


def test_headers_that_come_again_are_read_once() -> None:
    one, known = recorder(), Encoded(HEADERS, b"")
    first = one.head(Response(200, HEADERS, encoded=known))
    assert one.head(Response(200, HEADERS, encoded=known)) is first


def test_headers_that_were_replaced_are_read_anew() -> None:
    one, known = recorder(), Encoded(HEADERS, b"")
    one.head(Response(200, HEADERS, encoded=known))
    taken = snapshot()
    taken.asked = one.head(Response(200, [(b"content-type", b"text/plain")], encoded=known))
    assert decode(encode(taken)).head.content_type == "text/plain"


def test_there_is_room_for_so_many_heads() -> None:
    one = recorder()
    for _ in range(3 * _KNOWN):
        one.head(Response(200, HEADERS, encoded=Encoded(HEADERS, b"")))
    assert 0 < len(one._known) <= _KNOWN


def test_its_place_and_exchanges_of_its_own() -> None:
    one, other = recorder(sample_rate=0.5), recorder()
    taken = snapshot()
    taken.place = one.place
    place = decode(encode(taken)).place
    assert (place.graph, place.node, place.step, place.sample_rate) == ("g", "n", "s", 0.5)
    assert one.place != other.place
    assert [one.number(), one.number(), other.number()] == [0, 1, 0]


def test_an_exchange_has_the_form_of_a_uuid() -> None:
    taken = snapshot()
    taken.place, taken.number = recorder().place, 255
    exchange = decode(encode(taken)).exchange
    assert [len(part) for part in exchange.split("-")] == [8, 4, 4, 4, 12]
    assert exchange.endswith("-0000000000ff")


def test_a_whole_body_is_cut_at_once_unless_it_has_to_be_redacted_first() -> None:
    assert recorder(max_body_bytes=4).at_once == 4
    assert recorder(max_body_bytes=4, redact=("a",)).at_once > 1 << 40


def test_redaction_comes_before_the_cut() -> None:
    secret = b'{"a":"' + b"s3cret" * 10 + b'"}'
    cut = redacted(secret, redact=("a",), max_body_bytes=10)
    assert (cut.body, cut.size) == (b'{"a":"[red', len(b'{"a":"[redacted]"}'))
    whole = redacted(secret, redact=("a",))
    assert whole.size == len(whole.body)


@pytest.mark.parametrize("body", [b"s3cret", b"[" * 300 + b'"s3cret"' + b"]" * 300])
def test_a_body_that_cannot_be_redacted_is_left_out(body: bytes) -> None:
    left_out = redacted(body, redact=("a",))
    assert (left_out.body, left_out.size) == (b"", len(body))


def test_a_body_that_is_empty_stays() -> None:
    assert redacted(b"", redact=("a",)).size == 0


def test_what_was_cut_before_stays_as_long_as_it_was() -> None:
    """The beginning of an answer that streamed, which happens to be JSON."""
    cut = redacted(b"12", 5, redact=("a",))
    assert (cut.body, cut.size) == (b"12", 5)


def test_what_errors_say_can_be_redacted_too() -> None:
    shown = redacted(problem(BadRequest("s3cret")).body, redact=("detail", "error"))
    assert b"s3cret" not in shown.body
    assert b"bad_request" in shown.body
