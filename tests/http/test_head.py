from __future__ import annotations

import pytest

from gateway.errors import BadRequest, ExpectationFailed, GatewayError, NotImplementedByGateway, PayloadTooLarge
from gateway.http import head


def test_repeated_fields_are_joined_in_their_order() -> None:
    headers = [(b"accept", b"a"), (b"x", b"y"), (b"accept", b"b"), (b"accept", b"c")]
    assert head.combined(headers) == {b"accept": b"a, b, c", b"x": b"y"}


@pytest.mark.parametrize("name", [b"host", b"content-type", b"x-request-timeout-ms", b"grpc-timeout"])
def test_some_fields_must_not_be_repeated(name: bytes) -> None:
    with pytest.raises(BadRequest):
        head.combined([(name, b"1"), (name, b"1")])


def test_only_http_1_0_may_do_without_host() -> None:
    head.check_authority({}, 0)
    head.check_authority({b"host": b"a"}, 1)
    with pytest.raises(BadRequest):
        head.check_authority({}, 1)


def test_the_authority_of_an_absolute_target_replaces_host() -> None:
    headers = [(b"host", b"a"), (b"x", b"y")]
    assert head.path_form(b"GET", b"http://b/c", headers) == (b"/c", [(b"x", b"y"), (b"host", b"b")])
    assert head.path_form(b"OPTIONS", b"*", headers) == (b"*", headers)
    with pytest.raises(NotImplementedByGateway):
        head.path_form(b"CONNECT", b"b:443", headers)


@pytest.mark.parametrize(
    ("fields", "minor", "follows"),
    [
        ({}, 1, False),
        ({b"content-length": b"0"}, 1, False),
        ({b"content-length": b"9"}, 0, True),
        ({b"content-length": b"10"}, 1, True),
        ({b"transfer-encoding": b"Chunked"}, 1, True),
    ],
)
def test_whether_a_body_follows(fields: dict[bytes, bytes], minor: int, follows: bool) -> None:
    assert head.body_follows(fields, minor, max_body=10) is follows


@pytest.mark.parametrize(
    ("fields", "minor", "error"),
    [
        ({b"content-length": b"11"}, 1, PayloadTooLarge),
        ({b"transfer-encoding": b"chunked"}, 0, BadRequest),
        ({b"transfer-encoding": b"gzip, chunked"}, 1, NotImplementedByGateway),
    ],
)
def test_bodies_that_are_not_wanted(fields: dict[bytes, bytes], minor: int, error: type[GatewayError]) -> None:
    with pytest.raises(error):
        head.body_follows(fields, minor, max_body=10)


def test_expectations() -> None:
    assert head.expects_continue({b"expect": b"100-Continue"}, 1)
    assert not head.expects_continue({b"expect": b"100-continue"}, 0)
    assert not head.expects_continue({}, 1)
    with pytest.raises(ExpectationFailed):
        head.expects_continue({b"expect": b"100-continue, 200-ok"}, 1)


def test_replay_has_the_same_framing_and_the_same_end() -> None:
    chunked, length = {b"transfer-encoding": b"chunked"}, {b"content-length": b"5"}
    assert head.replay(b"POST", chunked, True) == (
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n"
    )
    assert head.replay(b"PUT", length, False) == b"PUT / HTTP/1.1\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
