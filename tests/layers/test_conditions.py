from __future__ import annotations

import pytest

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    NoHealthyUpstream,
    Overloaded,
    UpstreamConnectFailure,
    UpstreamProtocolError,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamUnusable,
)
from gateway.layers.conditions import RETRY_BUFFER, Conditions
from tests.support.service import answer, ask

ALL = ("connect-failure", "reset", "gateway-error", "5xx", "429", "503", "timeout")


@pytest.mark.parametrize(
    ("error", "met"),
    [
        (UpstreamConnectFailure, {"connect-failure", "gateway-error", "5xx"}),
        (UpstreamReset, {"reset", "gateway-error", "5xx"}),
        (UpstreamProtocolError, {"gateway-error", "5xx"}),
        (UpstreamTimeout, {"timeout", "gateway-error", "5xx"}),
        (DeadlineExceeded, {"timeout", "gateway-error", "5xx"}),
        (NoHealthyUpstream, set()),
        (Overloaded, set()),
        (UpstreamUnusable, set()),
    ],
)
def test_which_conditions_an_error_meets(error: type[GatewayError], met: set[str]) -> None:
    assert {name for name in ALL if Conditions([name], True).met(error(), ask(), True)} == met


@pytest.mark.parametrize(
    ("status", "met"),
    [
        (200, set()),
        (404, set()),
        (408, set()),
        (429, {"429"}),
        (500, {"5xx"}),
        (501, {"5xx"}),
        (502, {"gateway-error", "5xx"}),
        (503, {"503", "gateway-error", "5xx"}),
        (504, {"gateway-error", "5xx"}),
        (599, {"5xx"}),
    ],
)
def test_which_conditions_an_answer_meets(status: int, met: set[str]) -> None:
    assert {name for name in ALL if Conditions([name], True).met(answer(status=status), ask(), True)} == met


def test_of_several_the_nearest_is_named() -> None:
    every = Conditions(ALL, True)
    assert every.met(UpstreamConnectFailure(), ask(), False) == "connect-failure"
    assert every.met(UpstreamReset(), ask(), False) == "reset"
    assert every.met(answer(status=503), ask(), False) == "503"
    assert every.met(answer(status=502), ask(), False) == "gateway-error"
    assert every.met(answer(status=500), ask(), False) == "5xx"


@pytest.mark.parametrize("error", [UpstreamTimeout(), DeadlineExceeded()])
def test_after_a_timeout_of_all_the_time_there_was_there_is_none_left(error: GatewayError) -> None:
    assert Conditions(ALL, True).met(error, ask(), False) is None


@pytest.mark.parametrize("end", [UpstreamReset(), UpstreamTimeout(), answer(status=503), answer(status=429)])
def test_what_may_have_been_acted_on_is_not_repeated_unless_that_does_no_harm(end: GatewayError) -> None:
    assert Conditions(ALL, False).met(end, ask(), True) is None
    request = ask()
    request.method = b"GET"
    assert Conditions(ALL, False).met(end, request, True) is not None


@pytest.mark.parametrize("end", [UpstreamReset(), answer(status=503)])
def test_a_large_body_is_sent_once(end: GatewayError) -> None:
    every = Conditions(ALL, True)
    assert every.met(end, ask(bytes(RETRY_BUFFER)), True) is not None
    assert every.met(end, ask(bytes(RETRY_BUFFER + 1)), True) is None


def test_what_was_never_sent_may_always_be_sent() -> None:
    large = ask(bytes(RETRY_BUFFER + 1))
    assert Conditions(["connect-failure"], False).met(UpstreamConnectFailure(), large, False) == "connect-failure"
