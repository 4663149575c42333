from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BuffersFull, UpstreamProtocolError
from gateway.http.buffers import Buffers
from gateway.http.heads import Heads, ResponseHead
from gateway.http.responses import MAX_FIELDS, MAX_HEAD, MAX_INTERIM, ResponseReader
from gateway.message import Response
from tests.support.service import plain
from tests.support.transport import deliveries

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnext"


HEADS: defaultdict[int, Heads[ResponseHead]] = defaultdict(Heads)
"""By the limit that they kept to; shared by all tests, so that a head which must not be kept shows up."""


def read(pieces: list[bytes], *, head_only: bool = False, max_body: int = 1 << 20) -> ResponseReader:
    reader = ResponseReader(max_body, HEADS[max_body])
    reader.expect(head_only=head_only)
    for piece in pieces:
        reader.feed(piece)
    return reader


BAD = {
    "not HTTP": b"hello",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0 after an interim answer": b"HTTP/1.1 100 C\r\n\r\nHTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "RTSP": b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "ICE": b"ICE/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "an empty line first": b"\r\n" + EMPTY,
    "status of letters": b"HTTP/1.1 2xx OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status 000": b"HTTP/1.1 000 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "too many interim answers": b"HTTP/1.1 103 E\r\n\r\n" * (MAX_INTERIM + 1) + EMPTY,
    "an interim answer that closes": b"HTTP/1.1 103 E\r\nConnection: close\r\n\r\n" + EMPTY,
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR": b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
    "length and coding": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "the same length twice": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "a list of lengths": OK + b"Content-Length: 1, 1\r\n\r\nx",
    "length with a sign": OK + b"Content-Length: -1\r\n\r\n",
    "empty length": OK + b"Content-Length:\r\n\r\n",
    "gzip": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "gzip in a line of its own": OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "empty coding": OK + b"Transfer-Encoding:\r\n\r\n",
    "fold": OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": OK + b"X: a\0\r\nContent-Length: 0\r\n\r\n",
    "space in a name": OK + b"X Y: a\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "no colon": OK + b"X\r\nContent-Length: 0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+1\r\nx\r\n0\r\n\r\n",
    "chunk without its end": CHUNKED + b"1\r\nxy\r\n0\r\n\r\n",
    "chunk size without CR": CHUNKED + b"1\nx\r\n0\r\n\r\n",
    "length in a trailer": CHUNKED + b"0\r\nContent-Length: 1\r\n\r\n",
    "too many fields": OK + b"X: y\r\n" * (MAX_FIELDS + 1) + b"\r\n",
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_one_good_answer_raises_however_it_arrives(case: str) -> None:
    for pieces in deliveries(BAD[case]):
        with pytest.raises(UpstreamProtocolError):
            read(pieces)


def test_a_head_without_end() -> None:
    with pytest.raises(UpstreamProtocolError):
        read([OK, *[b"X: %b\r\n" % (b"a" * 1000)] * (MAX_HEAD // 1000 + 1)])


def test_answers_that_are_too_large() -> None:
    for pieces in deliveries(CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"):
        with pytest.raises(UpstreamProtocolError):
            read(pieces, max_body=10)
    with pytest.raises(UpstreamProtocolError):
        read([OK + b"Content-Length: 11\r\n\r\n"], max_body=10)
    with pytest.raises(UpstreamProtocolError):
        read([OK + b"\r\n", b"hello world"], max_body=10)


# Name: the wire, what becomes of it, whether the connection can carry another answer.
GOOD: dict[str, tuple[bytes, Response, bool]] = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", Response(200, [], b"hello"), True),
    "nothing": (EMPTY, Response(200, [], b""), True),
    "chunked": (CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX: y\r\n\r\n", Response(200, [], b"hello"), True),
    "no reason": (b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", Response(503, [], b""), True),
    "headers": (OK + b"X-A:  b c\t\r\nContent-Length: 0\r\n\r\n", Response(200, [(b"x-a", b"b c")], b""), True),
    "two of a kind": (
        OK + b"Set-Cookie: a\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n",
        Response(200, [(b"set-cookie", b"a"), (b"set-cookie", b"b")], b""), True,
    ),
    "hop by hop": (
        OK + b"Keep-Alive: timeout=5\r\nTrailer: X\r\nTE: x\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\n"
        b"X-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n", Response(200, [], b""), True,
    ),
    "named by Connection": (
        OK + b"Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\nConnection: X-B\r\nContent-Length: 0\r\n\r\n",
        Response(200, [(b"x-c", b"3")], b""), True,
    ),
    "close": (OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", Response(200, [], b""), False),
    "close in a trailer": (CHUNKED + b"1\r\nx\r\n0\r\nConnection: close\r\n\r\n", Response(200, [], b"x"), False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", Response(200, [], b"x"), False),
    "HTTP/1.0 kept": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", Response(200, [], b"x"), True,
    ),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + EMPTY, Response(200, [], b""), True,
    ),
    "interim with framing": (
        b"HTTP/1.1 102 P\r\nContent-Length: 5\r\n\r\n" + EMPTY, Response(200, [], b""), True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", Response(204, [], b""), True),
    "304": (b"HTTP/1.1 304 N\r\nContent-Length: 5\r\nETag: x\r\n\r\n", Response(304, [(b"etag", b"x")], b""), True),
    "204 that announces a body": (b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n", Response(204, [], b""), False),
    "204 that is chunked": (b"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n", Response(204, [], b""), False),
    "an offer to upgrade": (
        OK + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\nx", Response(200, [], b"x"), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_the_same_answer_however_it_arrives(case: str) -> None:
    wire, response, persistent = GOOD[case]
    for pieces in deliveries(wire):
        reader = read(pieces)
        assert plain(reader.response) == response
        assert reader.persistent is persistent
        if persistent:
            reader.expect(head_only=False)
            reader.feed(NEXT)
            assert plain(reader.response) == Response(404, [], b"next")
            assert reader.persistent


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize(
    "extra", [NEXT, b"garbage", b"\0", b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx"]
)
def test_more_than_the_answer_spoils_the_connection_but_not_the_answer(case: str, extra: bytes) -> None:
    wire, response, _ = GOOD[case]
    reader = read([wire + extra])
    assert plain(reader.response) == response
    assert not reader.persistent


class TestHead:
    def test_ends_where_its_head_ends(self) -> None:
        for pieces in deliveries(OK + b"Content-Length: 5\r\nX: y\r\n\r\n"):
            assert plain(read(pieces, head_only=True).response) == Response(
                200, [(b"x", b"y"), (b"content-length", b"5")]
            )

    @pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""])
    def test_a_backend_that_may_send_a_body_after_all_gets_no_further_request(self, framing: bytes) -> None:
        assert not read([OK + framing + b"\r\n"], head_only=True).persistent
        reader = read([OK + framing + b"\r\nhello"], head_only=True)
        assert reader.response is not None
        assert reader.response.body == b""
        assert not reader.persistent

    def test_without_a_body_to_announce_the_connection_lives(self) -> None:
        reader = read([EMPTY], head_only=True)
        assert reader.persistent
        reader.expect(head_only=False)
        reader.feed(NEXT)
        assert plain(reader.response) == Response(404, [], b"next")

    def test_204_has_no_length_to_tell(self) -> None:
        reader = read([b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n"], head_only=True)
        assert plain(reader.response) == Response(204, [])


class TestUntilClose:
    def test_the_end_completes_it(self) -> None:
        for pieces in deliveries(OK + b"X: y\r\n\r\nhello"):
            reader = read(pieces)
            assert reader.response is None
            reader.end()
            assert plain(reader.response) == Response(200, [(b"x", b"y")], b"hello")
            assert not reader.persistent

    @pytest.mark.parametrize(
        "cut",
        [OK, OK + b"Content-Length: 5\r\n\r\nhell", CHUNKED + b"5\r\nhello\r\n", CHUNKED + b"5\r\nhello\r\n0\r\n"],
    )
    def test_the_end_never_completes_what_was_cut_off(self, cut: bytes) -> None:
        for pieces in deliveries(cut):
            reader = read(pieces)
            reader.end()
            assert reader.response is None


def test_started_from_the_first_byte() -> None:
    reader = read([])
    assert not reader.started
    reader.feed(b"H")
    assert reader.started


def test_tiny_chunks_cost_no_more_than_their_bytes() -> None:
    reader = read([CHUNKED] + [b"2\r\nab\r\n" * 100] * 100)
    assert isinstance(reader._body, bytearray)
    reader.feed(b"0\r\n\r\n")
    assert plain(reader.response) == Response(200, [], b"ab" * 10_000)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(case for case in GOOD if GOOD[case][2])), st.integers(1, 40)), max_size=6)
)
def test_each_answer_reaches_the_request_that_it_answers(cases: list[tuple[str, int]]) -> None:
    reader = ResponseReader(1 << 20, Heads())
    for case, size in cases:
        wire, response, _ = GOOD[case]
        reader.expect(head_only=False)
        for at in range(0, len(wire), size):
            assert reader.response is None
            reader.feed(wire[at : at + size])
        assert plain(reader.response) == response
        assert reader.persistent


@settings(deadline=None)
@given(
    st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    st.binary(max_size=300),
    st.integers(0, 50),
    st.integers(1, 60),
)
def test_any_body_in_any_framing_in_reads_of_any_size(status: int, body: bytes, chunk: int, size: int) -> None:
    wire = b"HTTP/1.1 %d X\r\n" % status
    if chunk:
        parts = [body[at : at + chunk] for at in range(0, len(body), chunk)]
        wire += b"Transfer-Encoding: chunked\r\n\r\n"
        wire += b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        wire += b"Content-Length: %d\r\n\r\n" % len(body) + body
    reader = read([wire[at : at + size] for at in range(0, len(wire), size)])
    assert plain(reader.response) == Response(status, [], body)


@settings(deadline=None)
@given(st.lists(st.sampled_from([OK, EMPTY, CHUNKED,
                                 b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 101 S\r\nUpgrade: x\r\n"
                                 b"Connection: upgrade\r\n\r\n", b"Content-Length: 3\r\n", b"\r\n", b"abc", b"0"]),
                max_size=8), st.integers(1, 30), st.booleans())  # fmt: skip
def test_nothing_but_a_protocol_error_ever_escapes(parts: list[bytes], size: int, head_only: bool) -> None:
    wire = b"".join(parts)
    try:
        read([wire[at : at + size] for at in range(0, len(wire), size)], head_only=head_only)
    except UpstreamProtocolError:
        pass


class TestRoom:
    """For large answers that are kept until they are whole."""

    def test_one_is_counted_as_long_as_it_lives(self) -> None:
        buffers = Buffers(100_000)
        reader = ResponseReader(1 << 20, Heads(), buffers=buffers)
        reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + b"x" * 100_000)
        assert buffers.used == 100_000
        reader.feed(b"\r\n0\r\n\r\n")
        assert reader.response is not None
        assert buffers.used == 100_000
        reader.expect(head_only=False)
        assert buffers.used == 0

    @pytest.mark.parametrize("framing", [b"Content-Length: 100001", b"Transfer-Encoding: chunked\r\n\r\n186a1"])
    def test_one_that_does_not_fit_is_no_answer(self, framing: bytes) -> None:
        buffers = Buffers(100_000)
        reader = ResponseReader(1 << 20, Heads(), buffers=buffers)
        with pytest.raises(BuffersFull):
            reader.feed(
                b"HTTP/1.1 200 OK\r\n" + framing + (b"\r\n" if b"chunked" in framing else b"\r\n\r\n") + b"x" * 100_001
            )
        assert buffers.refused == 1

    def test_one_that_is_passed_on_needs_none(self) -> None:
        buffers = Buffers(0)
        reader = ResponseReader(1 << 20, Heads(), lambda: True, buffers)
        reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000)
        assert reader.passing
        assert len(reader.take()) == 200_000
        assert (buffers.used, buffers.refused) == (0, 0)
