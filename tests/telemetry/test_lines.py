import json
import select
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.graph.kserve.errors import RouterError
from gateway.message import Record
from gateway.telemetry import lines
from gateway.telemetry.lines import FLAGS, Json, as_text, line

EPOCH = 1_700_000_000.0
TRACE = b"0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = (b"traceparent", b"00-%b-b7ad6b7169203331-01" % TRACE)


def ended(status: int = 200, target: bytes = b"/v1/models/iris:predict?key=secret", **known: object) -> Record:
    came = Record(0.25, b"POST", target, [], 1, b"id-1", b"10.0.0.1", [], 12, graph="iris")
    went = {"attempts": 2, "upstream": 0.0015, "queued": 0.001, "seconds": 0.25, "status": status, "sent": 34}
    return msgspec.structs.replace(came, **went | known)


def fields(one: Record) -> dict[str, object]:
    found: dict[str, object] = json.loads(Json()([one], EPOCH))
    return found


def test_a_line_of_json() -> None:
    route = [b"root=a", b"canary=b"]
    assert fields(ended(route=route, headers=[TRACEPARENT, (b"cookie", b"secret")])) == {
        "ts": "2023-11-14T22:13:20.250000Z",
        "method": "POST",
        "path": "/v1/models/iris:predict",
        "route": "iris",
        "status": 200,
        "flags": "-",
        "details": "",
        "bytes_in": 12,
        "bytes_out": 34,
        "duration_ms": 250.0,
        "upstream_ms": 1.5,
        "queue_ms": 1.0,
        "attempts": 2,
        "branch": "root=a, canary=b",
        "request_id": "id-1",
        "trace_id": TRACE.decode(),
        "client": "10.0.0.1",
        "protocol": "HTTP/1.1",
    }


def test_a_line_of_text() -> None:
    assert as_text([ended(minor=0, peer=b"", route=[b"root=a b"])], EPOCH) == (
        b'2023-11-14T22:13:20.250Z - "POST /v1/models/iris:predict HTTP/1.0" 200 - route=iris details=- bytes_in=12 '
        b"bytes_out=34 duration_ms=250.0 upstream_ms=1.5 queue_ms=1.0 attempts=2 "
        b'branch="root=a b" request_id=id-1 trace_id=-\n'
    )


SECONDS = st.floats(0.0, 1e5)
RECORDS = st.builds(
    Record,
    started=st.integers(0, 10**6).map(lambda number: (2 * number + 1) / 64),  # whole microseconds, and never none
    method=st.sampled_from((b"GET", b"HEAD", b"BREW%\xff")),
    target=st.sampled_from((b"/a?b", b"/%41")) | st.binary(max_size=300) | st.just(b"/" * 2000),
    headers=st.sampled_from(([], [TRACEPARENT], [(b"traceparent", b"none")])),
    minor=st.integers(0, 1),
    id=st.from_regex(rb"[A-Za-z0-9._-]{1,40}", fullmatch=True),
    peer=st.sampled_from((b"", b"192.0.2.1", b'fe80::1%"%d')),
    route=st.lists(st.sampled_from((b"root=a", b"b=\xc3\xa9", b"%d=\xff")), max_size=2),
    received=st.integers(0, 1 << 40),
    graph=st.text(max_size=5) | st.just("%b"),
    attempts=st.integers(0, 9),
    upstream=SECONDS,
    queued=st.just(0.0) | SECONDS,
    failure=st.sampled_from(("", "upstream_reset", "internal_error")),
    trace_id=st.sampled_from((b"", TRACE)),
    flags=st.sampled_from(((), ("DI",), ("DI", "URX"))),
    reset=st.booleans(),
    seconds=SECONDS,
    status=st.sampled_from((200, 404, 502)),
    sent=st.integers(0, 1 << 40),
)


@given(st.lists(RECORDS, max_size=8))
def test_what_is_written_by_pattern_is_what_an_encoder_writes(records: list[Record]) -> None:
    written = [msgspec.json.encode(line(one, EPOCH)) + b"\n" for one in records]
    assert Json()(records * 2, EPOCH) == b"".join(written * 2)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_REMEMBERED", 4)
    log = Json()
    many = [ended(target=b"/%d" % n, peer=b"%d" % n, route=[b"root=%d" % n]) for n in range(9)]
    found = [json.loads(text) for text in log([*many, ended(target=b"/" * 500)], EPOCH).splitlines()]
    assert [one["path"] for one in found] == [*(f"/{n}" for n in range(9)), "/" * 500]
    assert [one["branch"] for one in found[:9]] == [f"root={n}" for n in range(9)]
    assert max(map(len, (log._patterns, log._paths, log._clients))) <= 4
    assert max(map(len, log._paths)) <= 256


@pytest.mark.parametrize("written", [Json(), as_text])
def test_a_hostile_path_stays_in_its_field_and_in_one_piece(
    written: Callable[[Sequence[Record], float], bytes],
) -> None:
    made = written([ended(target=b'/a" 200 "\r\n\xff\x00' + b"\xff" * 8192)], EPOCH)
    assert made.count(b"\n") == 1
    assert len(made) < select.PIPE_BUF
    assert b'/a\\" 200 \\"\\r\\n' in made


def test_the_answer_to_head_has_no_body() -> None:
    assert fields(ended(method=b"HEAD"))["bytes_out"] == 0


@pytest.mark.parametrize(
    "traceparent",
    [
        b"",
        b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
        b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        b"0af7651916cd43dd8448eb211c80319c",
    ],
)
def test_what_is_no_trace_id_is_none(traceparent: bytes) -> None:
    assert fields(ended(headers=[(b"traceparent", traceparent)]))["trace_id"] == ""


def said(status: int, **known: object) -> tuple[object, object]:
    found = fields(ended(status, **known))
    return found["flags"], found["details"]


def test_flags_and_details_say_why() -> None:
    assert said(504, failure="upstream_timeout", flags=("DI", "URX")) == ("UT,DI,URX", "upstream_timeout")


def test_a_failure_that_was_got_over_is_none() -> None:
    assert said(200, failure="upstream_reset", reset=True, flags=("DI",)) == ("DI", "")


def test_an_error_without_a_letter_has_its_code() -> None:
    assert said(500, failure="internal_error") == ("-", "internal_error")


@pytest.mark.parametrize(
    ("failure", "reset", "flags"),
    [
        ("upstream_reset", False, "UC"),
        ("upstream_reset", True, "UR"),
        ("upstream_timeout", True, "UT"),  # the reset was that of an attempt before
    ],
)
def test_a_connection_that_was_reset_is_told_from_one_that_was_closed(failure: str, reset: bool, flags: str) -> None:
    assert said(502, failure=failure, reset=reset) == (flags, failure)


def codes(kind: type[GatewayError]) -> set[str]:
    return {kind.code}.union(*map(codes, kind.__subclasses__()))


def test_every_code_with_a_flag_exists() -> None:
    assert RouterError.code in codes(GatewayError)
    assert FLAGS.keys() <= codes(GatewayError)


def test_every_code_without_a_flag_has_none_in_envoy_either_or_is_never_logged() -> None:
    assert codes(GatewayError) - FLAGS.keys() == {
        # a bug, KServe's word for any failure, a mistake of the client's that Envoy has no letters for, and the answer
        # of a fault, whose flag is not that of an error
        *("internal_error", "router_error", "method_not_allowed", "fault_injected"),
        # so is too large a body, or too slow a request
        *("request_timeout", "payload_too_large"),
    }
