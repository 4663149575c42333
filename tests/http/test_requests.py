from __future__ import annotations

from collections.abc import Iterable
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, HeadersTooLarge, Overloaded, PayloadTooLarge, UriTooLong
from gateway.http.arrival import ReaderLimits
from gateway.http.buffers import Buffers
from gateway.http.requests import SLICE, RequestReader
from gateway.message import Request
from tests.support.service import plain
from tests.support.transport import deliveries

LIMITS = ReaderLimits(body=1 << 20, head=60 << 10, fields=100)
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


def reader(limits: ReaderLimits = LIMITS) -> RequestReader:
    return RequestReader(limits, lambda: 100.0)


def drain(one: RequestReader) -> list[Request]:
    requests = [plain(arrival.request) for arrival in one.arrived]
    one.arrived.clear()
    while one.behind:
        one.feed(b"")
        requests += [plain(arrival.request) for arrival in one.arrived]
        one.arrived.clear()
    return requests


def read(pieces: list[bytes], limits: ReaderLimits = LIMITS) -> list[Request]:
    one = reader(limits)
    requests = []
    for piece in pieces:
        one.feed(piece)
        requests += drain(one)
    assert not one.started
    return requests


def feed(one: RequestReader, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        one.feed(piece)


def refusal(pieces: list[bytes], limits: ReaderLimits = LIMITS) -> GatewayError:
    """The error that ends it; nothing may have become a request before."""
    one = reader(limits)
    with pytest.raises(GatewayError) as caught:
        feed(one, pieces)
    assert not one.arrived
    return caught.value


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


REFUSED = {
    "length and coding": (400, POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "coding and length": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"),
    "the same length twice": (400, POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
    "a list of lengths": (400, POST + b"Content-Length: 1, 1\r\n\r\nx"),
    "length with a plus": (400, POST + b"Content-Length: +1\r\n\r\nx"),
    "length with a minus": (400, POST + b"Content-Length: -1\r\n\r\nx"),
    "length in hex": (400, POST + b"Content-Length: 0x1\r\n\r\nx"),
    "no length in it": (400, POST + b"Content-Length:\r\n\r\nx"),
    "length of two numbers": (400, POST + b"Content-Length: 1 1\r\n\r\nx"),
    "length beyond all bounds": (400, POST + b"Content-Length: 99999999999999999999999\r\n\r\nx"),
    "length with an underscore": (400, POST + b"Content-Length: 1_0\r\n\r\n0123456789"),
    "length over the limit": (413, POST + b"Content-Length: 1048577\r\n\r\n"),
    "gzip": (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "gzip in a line of its own": (
        501,
        POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "coding after chunked": (400, POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "chunked twice": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunked in two lines": (400, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked with a parameter": (501, POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    "something like chunked": (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "identity": (501, POST + b"Transfer-Encoding: identity\r\n\r\n"),
    "vertical tab before chunked": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "empty coding": (400, POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
    "chunked in HTTP/1.0": (400, b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "space before the colon": (400, b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\nx"),
    "space in a name": (400, b"GET /a HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n"),
    "NUL in a name": (400, b"GET /a HTTP/1.1\r\nHost: a\r\nX\0Y: 1\r\n\r\n"),
    "NUL in a value": (400, b"GET /a HTTP/1.1\r\nHost: a\r\nX: 1\0\r\n\r\n"),
    "no name": (400, b"GET /a HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n"),
    "no colon": (400, b"GET /a HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
    "fold": (400, b"GET /a HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"),
    "fold at once": (400, b"GET /a HTTP/1.1\r\n Host: a\r\n\r\n"),
    "bare LF": (400, b"GET /a HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"),
    "bare LF after the request line": (400, b"GET /a HTTP/1.1\nHost: a\r\n\r\n"),
    "bare LF at the end of the head": (400, b"GET /a HTTP/1.1\r\nHost: a\r\n\n"),
    "bare CR": (400, b"GET /a HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n"),
    "bare CR in the request line": (400, b"GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n"),
    "two empty lines": (400, b"\r\n\r\n" + GET),
    "no Host": (400, b"GET /a HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, b"GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    "empty Host": (400, b"GET /a HTTP/1.1\r\nHost:\r\n\r\n"),
    "Host with user": (400, b"GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    "Host with path": (400, b"GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "Host with comma": (400, b"GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "Host with space": (400, b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "Host with a bad port": (400, b"GET /a HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    "fragment": (400, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "relative target": (400, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "asterisk": (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no target": (400, b"GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
    "two targets": (400, b"GET /a /b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "8-bit target": (400, b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    "NUL in the target": (400, b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "absolute with user": (400, b"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "absolute with fragment": (400, b"GET http://b/#c HTTP/1.1\r\nHost: a\r\n\r\n"),
    "absolute without host": (400, b"GET http:///c HTTP/1.1\r\nHost: a\r\n\r\n"),
    "another scheme": (400, b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /a\r\n\r\n"),
    "HTTP/1.2": (400, b"GET /a HTTP/1.2\r\nHost: a\r\n\r\n"),
    "HTTP/2.0": (400, b"GET /a HTTP/2.0\r\nHost: a\r\n\r\n"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "lower-case version": (400, b"GET /a http/1.1\r\nHost: a\r\n\r\n"),
    "another protocol": (400, b"GET /a RTSP/1.0\r\nHost: a\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\n"),
    "unknown method": (501, b"BREW /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "lower-case method": (501, b"get /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "CONNECT": (501, b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n"),
    "CONNECT to a path": (501, b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n"),
    "another expectation": (417, POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n"),
    "two deadlines": (400, POST + b"X-Request-Timeout-Ms: 1\r\nX-Request-Timeout-Ms: 2\r\n\r\n"),
    "bad deadline": (400, POST + b"X-Request-Timeout-Ms: 1.5\r\n\r\n"),
    "bad grpc deadline": (400, POST + b"grpc-timeout: 1x\r\n\r\n"),
    "no chunk size": (400, CHUNKED + b"\r\nx"),
    "chunk size with a sign": (400, CHUNKED + b"-1\r\nx\r\n0\r\n\r\n"),
    "chunk size with 0x": (400, CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n"),
    "chunk size with a space": (400, CHUNKED + b"1 \r\nx\r\n0\r\n\r\n"),
    "chunk size beyond all bounds": (400, CHUNKED + b"fffffffffffffffff\r\nx"),
    "chunk size without CR": (400, CHUNKED + b"1\nx\r\n0\r\n\r\n"),
    "chunk without its end": (400, CHUNKED + b"1\r\nxy\r\n0\r\n\r\n"),
    "LF in a chunk extension": (400, CHUNKED + b"1;a\nb\r\nx\r\n0\r\n\r\n"),
    "CR in a chunk extension": (400, CHUNKED + b"1;a\rb\r\nx\r\n0\r\n\r\n"),
    "length in a trailer": (400, CHUNKED + b"0\r\nContent-Length: 1\r\n\r\n"),
    "coding in a trailer": (400, CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_one_good_request_is_refused_however_it_arrives(case: str) -> None:
    status, wire = REFUSED[case]
    for pieces in deliveries(wire):
        assert refusal(pieces).status == status, pieces


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_behind_a_good_one_is_refused_and_the_good_one_is_kept(case: str) -> None:
    if case in ("two empty lines", "another protocol", "no target", "TLS"):
        pytest.skip("llhttp reads a request line that it meets in the middle of a read less strictly")
    one = reader()
    with pytest.raises(GatewayError) as caught:
        one.feed(GET + REFUSED[case][1])
    assert caught.value.status == REFUSED[case][0]
    assert [arrival.request.target for arrival in one.arrived] == [b"/a"]


ACCEPTED = {
    "plain": (GET, b"GET", b"/a", b""),
    "an empty line first": (b"\r\n" + GET, b"GET", b"/a", b""),
    "HTTP/1.0": (b"GET /a HTTP/1.0\r\n\r\n", b"GET", b"/a", b""),
    "query": (b"GET /a?b=c%20d HTTP/1.1\r\nHost: a\r\n\r\n", b"GET", b"/a?b=c%20d", b""),
    "white space around a value": (b"GET /a HTTP/1.1\r\nHost: \t a \t \r\n\r\n", b"GET", b"/a", b""),
    "Host with port": (b"GET /a HTTP/1.1\r\nHost: a.b:8080\r\n\r\n", b"GET", b"/a", b""),
    "Host of IPv6": (b"GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", b"GET", b"/a", b""),
    "absolute": (b"GET http://b:80/c?d HTTP/1.1\r\nHost: a\r\n\r\n", b"GET", b"/c?d", b""),
    "absolute without path": (b"GET HTTPS://b?d HTTP/1.1\r\nHost: a\r\n\r\n", b"GET", b"/?d", b""),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"OPTIONS", b"*", b""),
    "length": (POST + b"Content-Length: 5\r\n\r\nhello", b"POST", b"/a", b"hello"),
    "no length": (POST + b"\r\n", b"POST", b"/a", b""),
    "GET with a body": (b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", b"GET", b"/a", b"hi"),
    "chunked": (CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"POST", b"/a", b"hello"),
    "CHUNKED": (POST + b"transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", b"POST", b"/a", b""),
    "chunk extensions": (CHUNKED + b'5;a;b=c;d="e f"\r\nhello\r\n0;x\r\n\r\n', b"POST", b"/a", b"hello"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\nHost: evil\r\nAuthorization: b\r\nX: y\r\n\r\n", b"POST", b"/a", b"x"),
    "h2c": (b"GET /a HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n", b"GET", b"/a", b""),
    "h2c with a length": (POST + UPGRADE + b"Content-Length: 5\r\n\r\nhello", b"POST", b"/a", b"hello"),
    "h2c chunked": (
        POST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"POST", b"/a", b"hello",
    ),
    "a body that looks like a request": (
        POST + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(GET) + GET, b"POST", b"/a", GET,
    ),
    "upgrade in a trailer": (CHUNKED + b"0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", b"POST", b"/a", b""),
    "8-bit value": (b"GET /a HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n", b"GET", b"/a", b""),
}  # fmt: skip


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_same_request_however_it_arrives(case: str) -> None:
    wire, *expected = ACCEPTED[case]
    first = read([wire])
    assert [[one.method, one.target, one.body] for one in first] == [expected]
    for pieces in deliveries(wire):
        assert read(pieces) == first


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_next_request_begins_where_the_last_one_ends(case: str) -> None:
    wire = ACCEPTED[case][0]
    if b"HTTP/1.0" in wire:
        return
    first, second = read([wire])[0], read([GET])[0]
    for pieces in deliveries(wire + GET):
        assert read(pieces) == [first, second]


def test_headers_are_lower_case_and_without_white_space_around_their_values() -> None:
    [request] = read([b"GET /a HTTP/1.1\r\nHOST:a\r\nX-Y: \t b c \t\r\nEmpty:\r\n\r\n"])
    assert request.headers == [(b"host", b"a"), (b"x-y", b"b c"), (b"empty", b"")]


def test_trailers_never_become_headers() -> None:
    [request] = read([ACCEPTED["trailers"][0]])
    assert request.headers == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]


def test_the_authority_of_an_absolute_target_wins_over_host() -> None:
    [request] = read([ACCEPTED["absolute"][0]])
    assert request.headers == [(b"host", b"b:80")]


def test_what_connection_names_is_dropped_from_all_of_its_lines() -> None:
    lines = b"Connection: X-A , close\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\nConnection: x-b\r\n\r\n"
    [request] = read([b"GET /a HTTP/1.1\r\nHost: a\r\n" + lines])
    assert [name for name, _ in request.headers if name.startswith(b"x-")] == [b"x-c"]


@pytest.mark.parametrize(
    ("head", "persistent"),
    [
        (b"GET /a HTTP/1.1\r\nHost: a\r\n", True),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", False),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n", False),
        (b"GET /a HTTP/1.0\r\n", False),
        (b"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n", True),
        (b"GET /a HTTP/1.1\r\nHost: a\r\n" + UPGRADE, True),
        (b"GET /a HTTP/1.0\r\n" + UPGRADE, False),
        (POST + b"Connection: close\r\n" + UPGRADE, False),
    ],
)
def test_whether_another_request_may_follow(head: bytes, persistent: bool) -> None:
    one = reader()
    one.feed(head + b"\r\n" + GET)
    assert one.arrived[0].persistent is persistent
    assert len(one.arrived) == 1 + persistent
    assert one.exhausted is not persistent
    one.feed(b"whatever\n\n")if not persistent else None  # fmt: skip
    assert len(one.arrived) == 1 + persistent


def test_connection_close_in_a_trailer_is_heeded_by_both_of_us() -> None:
    one = reader()
    one.feed(CHUNKED + b"0\r\nConnection: close\r\n\r\n" + GET)
    assert [arrival.persistent for arrival in one.arrived] == [False]


def test_an_upgrade_with_a_body_on_the_last_request_of_a_connection() -> None:
    one = reader()
    one.feed(POST + b"Connection: close, upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi" + GET)
    [arrival] = one.arrived
    assert (arrival.request.body, arrival.persistent) == (b"hi", False)


@pytest.mark.parametrize(
    ("field", "deadline"),
    [(b"X: y", inf), (b"X-Request-Timeout-Ms: 1500", 101.5), (b"grpc-timeout: 2S", 102.0)],
)
def test_the_deadline_counts_from_the_last_byte_of_the_request(field: bytes, deadline: float) -> None:
    [request] = read([POST + field + b"\r\n\r\n"])
    assert request.deadline == deadline


class TestExpect:
    def expects(self, wire: bytes) -> bool:
        one = reader()
        one.feed(wire)
        return one.expects

    def test_only_with_a_body_that_is_not_there_yet(self) -> None:
        head = POST + b"Expect: 100-continue\r\n"
        assert self.expects(head + b"Content-Length: 1\r\n\r\n")
        assert self.expects(head + b"Transfer-Encoding: chunked\r\n\r\n")
        assert not self.expects(head + b"Content-Length: 0\r\n\r\n")
        assert not self.expects(head + b"Content-Length: 1\r\n\r\nx")
        assert not self.expects(head + b"\r\n")

    def test_not_in_http_1_0(self) -> None:
        assert not self.expects(b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")

    def test_not_left_over_from_the_request_before(self) -> None:
        one = reader()
        one.feed(POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx" + POST + b"Content-Length: 1\r\n\r\n")
        assert not one.expects


class TestLimits:
    @pytest.mark.parametrize("ahead", [b"", GET])
    def test_target(self, ahead: bytes) -> None:
        def wire(size: int) -> bytes:
            return ahead + b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * (size - 1))

        assert len(read([wire(8192)])[-1].target) == 8192
        for pieces in list(deliveries(wire(8193)))[:2]:
            with pytest.raises(UriTooLong):
                read(pieces)

    def test_a_request_line_without_end(self) -> None:
        assert refusal([b"G" * 10_000]).status == 414
        assert refusal([b"G"] * 10_000).status == 414

    def test_head(self) -> None:
        wire = b"GET /a HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"a" * (60 << 10))
        for pieces in list(deliveries(wire))[:2]:
            assert refusal(pieces).status == 431

    def test_a_head_without_end(self) -> None:
        one = reader()
        one.feed(b"GET /a HTTP/1.1\r\nHost: a\r\n")
        with pytest.raises(HeadersTooLarge):
            feed(one, [b"X: %b\r\n" % (b"a" * 1000)] * 100)

    def test_a_long_body_does_not_count_as_head(self) -> None:
        assert len(read([POST + b"Content-Length: 100000\r\n\r\n" + b"a" * 100_000])[0].body) == 100_000

    def test_fields(self) -> None:
        def wire(count: int) -> bytes:
            return b"GET /a HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (count - 1) + b"\r\n"

        assert len(read([wire(100)])[0].headers) == 100
        for pieces in deliveries(wire(101)):
            assert refusal(pieces).status == 431

    def test_body(self) -> None:
        limits = ReaderLimits(body=10, head=60 << 10, fields=100)
        assert read([CHUNKED + chunked(b"a" * 10, 3)], limits)[0].body == b"a" * 10
        for pieces in deliveries(CHUNKED + chunked(b"a" * 11, 3)):
            assert refusal(pieces, limits).status == 413
        for pieces in deliveries(POST + b"Content-Length: 11\r\n\r\n"):
            assert refusal(pieces, limits).status == 413

    @pytest.mark.parametrize(
        "flood",
        [b"1;" + b"a" * 1000 + b"\r\nx\r\n", b"0\r\n" + b"X: %b\r\n" % (b"a" * 1000), b"1;a=b;c=d;e=f;g=h\r\nx\r\n"],
        ids=["extensions", "trailers", "small extensions"],
    )
    def test_floods_of_framing(self, flood: bytes) -> None:
        one = reader()
        one.feed(CHUNKED)
        trailers = flood.partition(b"\r\n")[2] if flood.startswith(b"0") else flood
        one.feed(flood)
        with pytest.raises(GatewayError) as caught:
            feed(one, [trailers] * 50_000)
        assert caught.value.status == 400

    def test_tiny_chunks_cost_no_more_than_their_bytes(self) -> None:
        one = reader()
        one.feed(CHUNKED)
        feed(one, [b"2\r\nab\r\n" * 100] * 1000)
        assert isinstance(one._body, bytearray)
        with pytest.raises(PayloadTooLarge):
            feed(one, [b"2\r\nab\r\n" * 100] * 5000)

    def test_one_read_full_of_requests_is_parsed_by_and_by(self) -> None:
        one = reader()
        one.feed(GET * 10_000)
        assert 0 < len(one.arrived) <= SLICE // len(GET)
        assert one.behind
        assert len(drain(one)) == 10_000
        assert not one.behind

    def test_thousands_of_upgrades_in_one_read(self) -> None:
        assert len(read([(b"GET /a HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n") * 3000])) == 3000


def test_an_empty_line_does_not_start_a_request() -> None:
    one = reader()
    one.feed(b"\r\n")
    assert not one.started
    one.feed(b"G")
    assert one.started


TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
VALUE = st.binary(max_size=20).map(lambda raw: bytes(b for b in raw if b >= 32 and b != 127).strip())
RESERVED = {b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect", b"content-type",
            b"keep-alive", b"x-request-timeout-ms", b"grpc-timeout", b"inference-header-content-length",
            b"proxy-connection", b"x-request-id"}  # fmt: skip
FIELDS = st.lists(st.tuples(TOKEN.filter(lambda name: name.lower() not in RESERVED), VALUE), max_size=5)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, Request]:
    """A valid request on the wire, and what must become of it."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD"]))
    target = b"/" + draw(st.text("abc/?&=%20.~-_:@!$'()*+,;", max_size=30)).encode()
    body = draw(st.binary(max_size=200))
    upgrade = draw(st.booleans())
    fields = [(b"Host", b"a"), *draw(FIELDS)]
    size = draw(st.integers(0, 40))
    framing = (b"Transfer-Encoding", b"chunked") if size else (b"Content-Length", b"%d" % len(body))
    fields.insert(draw(st.integers(0, len(fields))), framing)
    if upgrade:
        fields += [(b"Upgrade", b"h2c"), (b"Connection", b"upgrade")]
    head = b"".join(b"%b: %b\r\n" % field for field in fields)
    wire = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, head) + (chunked(body, size) if size else body)
    headers = [(name.lower(), value) for name, value in fields if name != b"Upgrade"]
    return wire, Request(method, target, headers, body, inf)


@settings(deadline=None)
@given(st.lists(messages(), min_size=1, max_size=3), st.data())
def test_any_valid_requests_cut_anywhere_are_the_same_requests(
    several: list[tuple[bytes, Request]], data: st.DataObject
) -> None:
    wire = b"".join(one for one, _ in several)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert read(pieces) == [request for _, request in several]


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 50), st.integers(1, 50))
def test_chunks_of_any_size_in_reads_of_any_size(body: bytes, size: int, read_size: int) -> None:
    wire = CHUNKED + chunked(body, size)
    assert [one.body for one in read([wire[at : at + read_size] for at in range(0, len(wire), read_size)])] == [body]


@settings(deadline=None)
@given(st.lists(st.sampled_from([GET, POST, CHUNKED, UPGRADE, b"\r\n", b"\r", b"\n", b" ", b"0", b"1", b"\0", b":",
                                 b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"abc", b"Host: b\r\n"]),
                max_size=12), st.integers(1, 30))  # fmt: skip
def test_nothing_but_a_refusal_ever_escapes(parts: list[bytes], read_size: int) -> None:
    wire = b"".join(parts)
    one = reader()
    try:
        for at in range(0, len(wire), read_size):
            one.feed(wire[at : at + read_size])
            drain(one)
    except GatewayError:
        pass


class TestRoom:
    """For large bodies."""

    @staticmethod
    def reader(limit: float) -> tuple[RequestReader, Buffers]:
        buffers = Buffers(limit)
        return RequestReader(ReaderLimits(1 << 20, 60 << 10, 100, buffers=buffers), lambda: 0.0), buffers

    def test_a_large_body_is_counted_as_long_as_its_request_lives(self) -> None:
        reader, buffers = self.reader(200_000)
        reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 99_999)
        assert buffers.used == 99_999
        reader.feed(b"x")
        assert buffers.used == 100_000
        request = reader.arrived.pop().request
        assert len(request.body) == buffers.used
        del request
        assert buffers.used == 0

    def test_what_is_announced_and_cannot_fit_is_refused_before_it_comes(self) -> None:
        reader, buffers = self.reader(99_999)
        with pytest.raises(Overloaded) as refused:
            reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
        assert refused.value.retry_after == 1
        assert (buffers.used, buffers.refused) == (0, 1)

    def test_chunks_are_refused_when_they_become_too_many(self) -> None:
        reader, buffers = self.reader(99_999)
        reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"2710\r\n" + b"x" * 10_000 + b"\r\n"
        for _ in range(9):
            reader.feed(piece)
        assert buffers.used == 90_000
        with pytest.raises(Overloaded):
            reader.feed(piece)
        reader.close()
        assert buffers.used == 0

    def test_small_ones_always_pass(self) -> None:
        reader, buffers = self.reader(0)
        reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000)
        assert len(reader.arrived.pop().request.body) == 60_000
        assert (buffers.used, buffers.refused) == (0, 0)


@pytest.mark.parametrize(
    ("wire", "asked"),
    [
        (b"", (b"-", b"-")),
        (b"GE", (b"-", b"-")),
        (b"GET /a?b HTTP/1.1\r\n", (b"GET", b"/a?b")),
        (b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na", (b"PUT", b"/a")),
        (b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", (b"-", b"-")),
    ],
)
def test_what_is_known_of_a_request_that_has_begun(wire: bytes, asked: tuple[bytes, bytes]) -> None:
    reader = RequestReader(ReaderLimits(body=100, head=4096, fields=100), lambda: 0.0)
    reader.feed(wire)
    assert reader.asked == asked


def test_of_what_is_no_request_nothing_is_known() -> None:
    reader = RequestReader(ReaderLimits(body=100, head=4096, fields=100), lambda: 0.0)
    with pytest.raises(GatewayError):
        reader.feed(b"WHAT /a HTTP/1.1\r\nHost: a\r\n\r\n")
    assert reader.asked == (b"-", b"-")
