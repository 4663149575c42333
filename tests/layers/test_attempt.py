from __future__ import annotations

from math import inf

from gateway.layers.attempt import attempt, calling, count
from gateway.message import Response
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask, fields

TYPE = (b"content-type", b"application/json")


def test_the_first_carries_no_number_and_is_the_same_otherwise() -> None:
    request = ask(b"[1]", [TYPE])
    first = attempt(request, 1, 0.0, inf)
    assert first == request
    assert first is not request
    assert count(first.stamp) == 1


def test_a_later_one_says_which_it_is_and_the_request_stays_as_it_was() -> None:
    request = ask(headers=[TYPE])
    third = attempt(attempt(request, 2, 0.0, inf), 3, 0.0, inf)
    assert fields(third) == [TYPE, (b"x-gateway-attempt-count", b"3")]
    assert count(third.stamp) == 3
    assert fields(request) == [TYPE]


def test_a_model_server_that_is_told_the_time_is_told_that_of_the_attempt() -> None:
    request = ask(headers=[TYPE], deadline=9.0)
    request.stamp = b"x-request-id: 1\r\nx-request-timeout-ms: 9000\r\n"
    ident = (b"x-request-id", b"1")
    assert fields(attempt(request, 1, 2.0, 2.5)) == [TYPE, ident, (b"x-request-timeout-ms", b"500")]
    assert fields(attempt(request, 1, 3.0, 2.5)) == [TYPE, ident, (b"x-request-timeout-ms", b"0")]
    again = attempt(attempt(request, 2, 2.0, 2.5), 3, 2.0, 2.25)
    assert fields(again)[2:] == [(b"x-request-timeout-ms", b"250"), (b"x-gateway-attempt-count", b"3")]
    assert attempt(request, 1, 2.0, 2.5).deadline == 2.5


def test_one_that_is_told_nothing_is_told_nothing() -> None:
    assert fields(attempt(ask(headers=[TYPE]), 1, 2.0, 2.5)) == [TYPE]


@virtual
async def test_a_plain_service_is_called_again_as_it_is() -> None:
    service = MockService().answers(b"[1]")
    assert (await calling(service)(ask(), [])).body == b"[1]"


@virtual
async def test_one_that_can_go_elsewhere_is_told_where_not_to_go() -> None:
    class Cluster(MockService):
        async def call(self, request: object, tried: list[object]) -> Response:
            tried.append("here")
            return answer()

    tried: list[object] = []
    await calling(Cluster())(ask(), tried)  # type: ignore[arg-type]
    assert tried == ["here"]
