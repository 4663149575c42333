from typing import Any

import msgspec

from gateway.config.payload import PayloadLog
from gateway.errors import BadRequest
from gateway.payload.event import Event
from gateway.payload.recorder import Recorder, Snapshot

HEADERS = [
    (b"content-type", b"application/json"),
    (b"x-tenant", b"caf\xe9"),
    (b"cookie", b"s3cret"),
    (b"x-tenant", b"b"),
]


def event(body: bytes = b"{}", error: BadRequest | None = None, **log: Any) -> Event:
    recorder = Recorder(PayloadLog(sink="s", **log), "g")
    return recorder.event(Snapshot(recorder, "request", b"x-1", 1.5, b"id-1", HEADERS, HEADERS, body, error=error))


def test_only_headers_that_are_listed_are_kept() -> None:
    assert event().headers == []
    assert event(headers=("X-Tenant",)).headers == [("x-tenant", "café"), ("x-tenant", "b")]


def test_a_long_body_is_cut_and_says_so() -> None:
    cut = event(b"0123456789", max_body_bytes=4)
    assert (cut.body, cut.size, cut.truncated) == (b"0123", 10, True)
    whole = event(b"0123", max_body_bytes=4)
    assert (whole.body, whole.truncated) == (b"0123", False)


def test_redaction_comes_before_the_cut() -> None:
    secret = b'{"a":"' + b"s3cret" * 10 + b'"}'
    assert event(secret, redact=("a",), max_body_bytes=10).body == b'{"a":"[red'
    assert not event(secret, redact=("a",)).truncated


def test_a_body_that_cannot_be_redacted_is_left_out_and_one_that_is_empty_stays() -> None:
    left_out = event(b"s3cret", redact=("a",))
    assert (left_out.body, left_out.size, left_out.truncated) == (b"", 6, True)
    assert not event(b"", redact=("a",)).truncated


def test_what_errors_say_can_be_redacted_too() -> None:
    shown = event(error=BadRequest("s3cret"), redact=("detail", "error"))
    assert b"s3cret" not in shown.body
    assert shown.code == "bad_request"


def test_an_event_is_made_by_position() -> None:
    """Every field stands where its name says."""
    made = msgspec.structs.asdict(event(sample_rate=0.5))
    assert made == {
        "kind": "request",
        "exchange": "x-1",
        "time": 1.5,
        "graph": "g",
        "node": "",
        "step": "",
        "request_id": "id-1",
        "content_type": "application/json",
        "body": b"{}",
        "size": 2,
        "headers": [],
        "status": 0,
        "code": "",
        "branch": "",
        "duration": 0.0,
        "traceparent": "",
        "given_id": "",
        "sample_rate": 0.5,
    }
