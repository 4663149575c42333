from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.http import wire


@pytest.mark.parametrize("host", [b"a", b"a.b-c_d", b"a:8080", b"127.0.0.1:1", b"[::1]", b"[fe80::1]:80", b"a%41"])
def test_good_hosts(host: bytes) -> None:
    wire.check_host(host)
    wire.check_host(host)


@pytest.mark.parametrize(
    "host",
    [b"", b":80", b"a:", b"a:b", b"a:123456", b"u@a", b"a/b", b"a,b", b"a b", b"a?b", b"a#b", b"::1", b"[a"],
)
def test_bad_hosts(host: bytes) -> None:
    with pytest.raises(BadRequest):
        wire.check_host(host)


def test_hosts_are_remembered_but_not_without_end() -> None:
    for number in range(3000):
        wire.check_host(b"host-%d" % number)
    assert len(wire._good_hosts) <= 1024


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://a/b?c", (b"/b?c", b"a")),
        (b"HTTPS://a:1", (b"/", b"a:1")),
        (b"http://a?b", (b"/?b", b"a")),
        (b"http://a//b", (b"//b", b"a")),
    ],
)
def test_origin_form(target: bytes, expected: tuple[bytes, bytes]) -> None:
    assert wire.origin_form(target) == expected


@pytest.mark.parametrize("target", [b"*", b"a", b"ftp://a/", b"http:/a", b"http://", b"http://u@a/", b"http://a/#b"])
def test_targets_without_an_origin_form(target: bytes) -> None:
    with pytest.raises(BadRequest):
        wire.origin_form(target)


def test_nominated() -> None:
    assert wire.nominated(b"close, X-A ,,x-b,Keep-Alive") == {b"x-a", b"x-b"}


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, None),
        ({b"x-request-timeout-ms": b"250"}, 0.25),
        ({b"x-request-timeout-ms": b"0"}, 0.0),
        ({b"grpc-timeout": b"2H"}, 7200.0),
        ({b"grpc-timeout": b"5m"}, 0.005),
        ({b"grpc-timeout": b"7n"}, 7e-9),
        ({b"x-request-timeout-ms": b"1", b"grpc-timeout": b"1H"}, 0.001),
    ],
)
def test_requested_timeout(fields: dict[bytes, bytes], seconds: float | None) -> None:
    assert wire.requested_timeout(fields) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("text", [b"", b"-1", b"1.5", b"1e3", b"1_0", b"\xb2", b"12345678901"])
def test_bad_timeouts_in_milliseconds(text: bytes) -> None:
    with pytest.raises(BadRequest):
        wire.requested_timeout({b"x-request-timeout-ms": text})


@pytest.mark.parametrize("text", [b"", b"S", b"1", b"1s", b"-1S", b"123456789S"])
def test_bad_grpc_timeouts(text: bytes) -> None:
    with pytest.raises(BadRequest):
        wire.requested_timeout({b"grpc-timeout": text})


def test_encode_fields() -> None:
    assert wire.encode_fields([]) == b""
    assert wire.encode_fields([(b"a", b"b"), (b"c", b"")]) == b"a: b\r\nc: \r\n"


def test_every_status_has_a_line() -> None:
    assert wire.STATUS_LINES[200] == b"HTTP/1.1 200 OK\r\n"
    assert wire.STATUS_LINES[599] == b"HTTP/1.1 599 Unknown\r\n"
    assert len(wire.STATUS_LINES) == 400


def test_http_date() -> None:
    assert wire.http_date(0.0) == b"Thu, 01 Jan 1970 00:00:00 GMT"


@given(st.lists(st.binary()))
def test_a_body_grows_by_its_chunks(chunks: list[bytes]) -> None:
    body: bytes | bytearray = b""
    for chunk in chunks:
        body = wire.extended(body, chunk)
    assert body == b"".join(chunks)


def test_a_body_of_one_chunk_is_that_chunk() -> None:
    chunk = b"x" * 1000
    assert wire.extended(b"", chunk) is chunk
