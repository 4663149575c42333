from __future__ import annotations

import gzip

import pytest

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    NoHealthyUpstream,
    UpstreamConnectFailure,
    UpstreamProtocolError,
    UpstreamReset,
    UpstreamTimeout,
)
from gateway.graph.kserve.call import BadUrl, CallService
from gateway.graph.kserve.errors import RouterError
from gateway.message import Headers
from tests.support.clock import run, virtual
from tests.support.service import MockService, ask

URL = "http://127.0.0.1:9/predict"
POST = f'Post "{URL}": '


def cause(error: GatewayError, url: str = URL) -> str:
    with pytest.raises(RouterError) as caught:
        run(CallService(url, MockService().fails(error))(ask()))
    assert caught.value.status == 500
    return caught.value.cause


@virtual
async def test_an_answer_has_a_status_and_a_body() -> None:
    service = MockService().answers(b"no", 404, [(b"content-type", b"text/plain"), (b"server", b"x")])
    request = ask(b"in")
    result = await CallService(URL, service)(request)
    assert (result.status, result.headers, result.body) == (404, [], b"no")
    assert service.bodies == [b"in"]


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ([(b"content-encoding", b"gzip")], gzip.compress(b"{}"), b"{}"),
        ([(b"content-encoding", b"br")], b"?", b"?"),
        ([(b"content-encoding", b"gzip")], b"?", b"?"),
    ],
)
def test_gzip_is_undone(headers: Headers, body: bytes, expected: bytes) -> None:
    assert run(CallService(URL, MockService().answers(body, headers=headers))(ask())).body == expected


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("connect to http://127.0.0.1:9 failed: Connection refused", "connect: connection refused"),
        ("connect to x failed: Connect call failed ('127.0.0.1', 9)", "connect: connection refused"),
        ("connect to x failed: Network is unreachable", "connect: network is unreachable"),
        ("connect to x failed: No route to host", "connect: no route to host"),
        ("no connection to x within 5 s", "i/o timeout"),
        ("connect to x failed: certificate has expired", "connect to x failed: certificate has expired"),
    ],
)
def test_no_connection(detail: str, words: str) -> None:
    assert cause(UpstreamConnectFailure(detail)) == POST + "dial tcp 127.0.0.1:9: " + words


@pytest.mark.parametrize(
    ("url", "address"),
    [("http://m/x", "m:80"), ("https://m/x", "m:443"), ("http://[::1]:9/x", "[::1]:9"), ("http://m:1", "m:1")],
)
def test_the_address_that_was_dialled(url: str, address: str) -> None:
    expected = f'Post "{url}": dial tcp {address}: connect: connection refused'
    assert cause(UpstreamConnectFailure("refused"), url) == expected


def test_no_such_host() -> None:
    error = UpstreamConnectFailure("connect to http://m failed: Name or service not known")
    assert cause(error, "http://m/x") == 'Post "http://m/x": dial tcp: lookup m: no such host'


def test_other_failures() -> None:
    late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    assert cause(UpstreamTimeout("late")) == POST + late
    assert cause(UpstreamReset("gone")) == POST + "EOF"
    assert cause(UpstreamProtocolError("bad")) == POST + "net/http: HTTP/1.x transport connection broken: bad"
    assert cause(NoHealthyUpstream("all down")) == POST + "all down"
    assert cause(NoHealthyUpstream()) == POST + "No healthy upstream"


@pytest.mark.parametrize("error", [UpstreamTimeout("late"), DeadlineExceeded("late")])
@pytest.mark.parametrize("early", [0.0, 0.0005])
def test_when_nobody_waits_any_more_it_is_the_deadline_that_passed(error: GatewayError, early: float) -> None:
    service = MockService().fails(error, after=2.0 - early)
    with pytest.raises(DeadlineExceeded):
        run(CallService(URL, service)(ask(deadline=2.0)))


@virtual
async def test_errors_name_the_step_that_sent_the_request() -> None:
    request = ask()
    request.at = ("root", "classify")
    with pytest.raises(RouterError) as caught:
        await CallService(URL, MockService().fails(UpstreamReset()))(request)
    assert (caught.value.node, caught.value.step) == ("root", "classify")


def test_a_bad_url_is_an_error_when_it_is_called() -> None:
    bad = BadUrl("http://single-1.default.{$your-domain}/switch", 'invalid character "{" in host name')
    with pytest.raises(RouterError) as caught:
        run(bad(ask()))
    assert caught.value.status == 500
    assert caught.value.cause == (
        'parse "http://single-1.default.{$your-domain}/switch": invalid character "{" in host name'
    )


def test_the_stack_shows_through() -> None:
    assert repr(CallService(URL, MockService())).startswith("CallService(<")
