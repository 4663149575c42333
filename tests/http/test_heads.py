from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.http.arrival import ReaderLimits
from gateway.http.heads import LONGEST, ROOM, UNREPEATED, Heads, RequestHead, ResponseHead, request_head, response_head
from gateway.http.requests import RequestReader
from gateway.http.responses import ResponseReader
from gateway.message import Request, Response
from tests.support.service import plain

HEAD = b"POST /a?b HTTP/1.1\r\nHost: a\r\nX-Y:  z \r\nContent-Length: 3\r\n\r\n"
ANSWER = b"HTTP/1.1 201 Created\r\nServer: s\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n"


def limits() -> ReaderLimits:
    return ReaderLimits(body=100, head=4096, fields=100)


def ask(given_limits: ReaderLimits, data: bytes) -> Request:
    reader = RequestReader(given_limits, lambda: 0.0)
    reader.feed(data)
    (arrival,) = reader.arrived
    assert (arrival.persistent, arrival.minor, reader.started, reader.behind) == (True, 1, False, True)
    return plain(arrival.request)


def answer(heads: Heads[ResponseHead], data: bytes) -> Response:
    reader = ResponseReader(100, heads)
    reader.expect(head_only=False)
    reader.feed(data)
    assert reader.response is not None
    assert reader.persistent
    return plain(reader.response)


def test_a_known_head_makes_the_same_request() -> None:
    ours = limits()
    first = ask(ours, HEAD + b"abc")
    assert list(ours.heads) == [HEAD]
    assert ask(ours, HEAD + b"abc") == first
    assert ask(ours, HEAD + b"xyz") == ask(limits(), HEAD + b"xyz")


def test_a_known_head_makes_the_same_answer() -> None:
    heads: Heads[ResponseHead] = Heads()
    first = answer(heads, ANSWER + b"abc")
    assert list(heads) == [ANSWER]
    assert answer(heads, ANSWER + b"abc") == first == Response(201, [(b"server", b"s")], b"abc")


def test_known_headers_are_shared_together_with_their_lines() -> None:
    ours, heads = limits(), Heads[ResponseHead]()
    for _ in range(3):
        reader = RequestReader(ours, lambda: 0.0)
        reader.feed(HEAD + b"abc")
        request = reader.arrived[0].request
        reply = ResponseReader(100, heads)
        reply.feed(ANSWER + b"abc")
    assert request.encoded is ours.heads[HEAD]
    assert request.headers is request.encoded.headers
    assert request.encoded.lines == b"host: a\r\nx-y: z\r\ncontent-length: 3\r\n"
    assert reply.response is not None
    assert reply.response.encoded is heads[ANSWER]
    assert reply.response.headers is heads[ANSWER].headers


@pytest.mark.parametrize("dated", [True, False])
def test_how_a_known_answer_is_passed_on(dated: bool) -> None:
    headers = [(b"server", b"s")] + [(b"date", b"d")] * dated
    head = response_head(201, headers, 3)
    lines = b"server: s\r\n" + b"date: d\r\n" * dated
    assert (head.lines, head.dated) == (lines, dated)
    assert head.start == b"HTTP/1.1 201 Created\r\n" + lines + b"content-length: 3\r\n"


@pytest.mark.parametrize("rest", [b"", b"ab", b"abcGET"])
def test_a_known_head_with_another_body_goes_the_long_way(rest: bytes) -> None:
    ours, theirs = limits(), limits()
    ask(ours, HEAD + b"abc")
    states = []
    for each in (ours, theirs):
        reader = RequestReader(each, lambda: 0.0)
        reader.feed(HEAD + rest)
        states.append((reader.arrived, reader.started, reader.state))
    assert states[0] == states[1]


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"X-Y:  z ", b"X-Request-Id:"),
        HEAD.replace(b"X-Y:  z ", b"traceparent: \xff"),
        HEAD.replace(b"X-Y:  z ", b"Connection: X-Request-Id\r\nX-Request-Id: a"),
        HEAD.replace(b"X-Y:  z ", b"X-Request-Timeout-Ms: 50"),
        HEAD.replace(b"X-Y:  z ", b"Expect: 100-continue"),
        HEAD.replace(b"X-Y:  z ", b"Connection: close"),
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HEAD.replace(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        HEAD.replace(b" z ", b"z" * LONGEST),
    ],
)
def test_heads_that_are_not_kept(head: bytes) -> None:
    ours = limits()
    reader = RequestReader(ours, lambda: 0.0)
    reader.feed(head + (b"0\r\n\r\n" if b"chunked" in head else b"abc"))
    assert reader.arrived
    assert not ours.heads


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Request-Id: a\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_answers_whose_heads_are_not_kept(data: bytes) -> None:
    heads: Heads[ResponseHead] = Heads()
    reader = ResponseReader(100, heads)
    reader.feed(data)
    assert reader.response is not None
    assert not heads


def test_a_head_answer_does_not_use_what_is_known() -> None:
    heads: Heads[ResponseHead] = Heads()
    answer(heads, ANSWER + b"abc")
    reader = ResponseReader(100, heads)
    reader.expect(head_only=True)
    reader.feed(ANSWER + b"abc")
    assert reader.response is not None
    assert (reader.response.body, reader.persistent) == (b"", False)


def test_there_is_room_for_so_many_and_no_more() -> None:
    heads: Heads[RequestHead] = Heads()
    for number in range(3 * ROOM):
        heads.learn(b"%d" % number, request_head(b"GET", b"/", [], 0))
        assert len(heads) <= ROOM
    heads.clear()
    for name in UNREPEATED:
        heads.learn(name, request_head(b"GET", b"/", [(name, b"1")], 0))
    assert not heads


@given(
    st.lists(
        st.sampled_from([HEAD + b"abc", HEAD + b"GET", HEAD, b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", b"abc", b"\r\n"])
    )
)
def test_whatever_is_known_changes_nothing(pieces: list[bytes]) -> None:
    known = limits()
    ask(known, HEAD + b"abc")
    ask(known, b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
    outcomes = []
    for each in (known, limits()):
        reader = RequestReader(each, lambda: 0.0)
        requests, error = [], ""
        try:
            for piece in pieces:
                reader.feed(piece)
                while reader.behind:
                    requests += [plain(arrival.request) for arrival in reader.arrived]
                    reader.arrived.clear()
                    reader.feed(b"")
        except GatewayError as refused:
            error = str(refused)
        outcomes.append((requests, error, reader.state))
    assert outcomes[0] == outcomes[1]


def test_a_head_that_another_backend_may_send_is_refused_where_it_is_too_large() -> None:
    heads: Heads[ResponseHead] = Heads()
    answer(heads, ANSWER + b"abc")
    reader = ResponseReader(2, heads)
    with pytest.raises(GatewayError, match="exceeds 2 bytes"):
        reader.feed(ANSWER + b"abc")
