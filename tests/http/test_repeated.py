from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.http.arrival import ReaderLimits
from gateway.http.heads import UNREPEATED
from gateway.http.repeated import parted
from gateway.http.requests import RequestReader
from gateway.message import Request

START = b"POST /a HTTP/1.1\r\nHost: a\r\n"
END = b"Content-Length: 3\r\n\r\n"
BODY = b"abc"


def limits(head: int = 4096, fields: int = 100) -> ReaderLimits:
    return ReaderLimits(body=100, head=head, fields=fields)


def ask(given: ReaderLimits, lines: bytes) -> Request:
    reader = RequestReader(given, lambda: 0.0)
    reader.feed(START + lines + END + BODY)
    (arrival,) = reader.arrived
    return arrival.request


def test_lines_that_are_another_every_time_are_taken_out() -> None:
    head = START + b"X-Request-ID:  7 \r\nX-Y: z\r\ntraceparent: 00-1\r\n" + END
    assert parted(head) == (START + b"X-Y: z\r\n" + END, [(b"x-request-id", b"7"), (b"traceparent", b"00-1")])
    assert parted(START + END) == (START + END, [])
    body = b"\r\nx-request-id"
    assert parted(START + b"x-request-idle: 1\r\n" + END + body)[1] == []


@pytest.mark.parametrize("name", sorted(UNREPEATED))
def test_a_head_is_known_without_them(name: bytes) -> None:
    ours = limits()
    ask(ours, b"%b: first\r\n" % name)
    assert list(ours.heads) == [START + END]
    request = ask(ours, b"%b: second\r\n" % name)
    assert request.headers == [(b"host", b"a"), (b"content-length", b"3"), (name, b"second")]
    assert (request.id, request.body) == (b"second" if name == b"x-request-id" else b"", BODY)
    assert ask(ours, b"").encoded is ours.heads[START + END]


def test_what_is_known_is_left_as_it_is() -> None:
    ours = limits()
    ask(ours, b"")
    before = list(ours.heads[START + END].headers)
    ask(ours, b"x-request-id: 1\r\n")
    assert ours.heads[START + END].headers == before


@pytest.mark.parametrize("given", [limits(head=60), limits(fields=2)])
def test_limits_hold_for_a_known_head_too(given: ReaderLimits) -> None:
    ask(given, b"")
    with pytest.raises(GatewayError) as refused:
        ask(given, b"traceparent: 00-12345678901234567890\r\n")
    assert refused.value.status == 431


NAMES = [b"X-Request-Id", b"traceparent", b"TraceState", b"b3", b"X-Y"]
VALUES = [b"", b"1", b" 1", b"1 ", b"a b", b"a\tb", b"\xe4", b"=,;", b'"', b"-" * 200]
LINES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4)


@given(st.lists(LINES, min_size=1, max_size=4))
def test_it_is_as_if_the_parser_had_read_all_of_it(requests: list[list[tuple[bytes, bytes]]]) -> None:
    ours = limits(head=300)
    for fields in requests:
        lines = b"".join(b"%b: %b\r\n" % field for field in fields)
        found: list[object] = []
        for given_limits in (ours, limits(head=300)):
            try:
                request = ask(given_limits, lines)
                found.append((sorted(request.headers), request.id, request.body, request.target, request.method))
            except GatewayError as refused:
                found.append(str(refused))
        assert found[0] == found[1]
