from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.config.schema import FallbackResponse
from gateway.errors import BadRequest, GatewayError, NoRouteMatched, UpstreamReset, UpstreamTimeout
from gateway.layers.fallback import Prepared, fallback
from gateway.message import Request, Response
from gateway.service import Service
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask

MARK = b"n=iris~fallback"


def backed(service: Service, instead: Service, timeout: float | None = None) -> Service:
    return fallback(instead, MARK, timeout)(service)


@pytest.mark.parametrize("status", [200, 302, 404, 429, 499])
def test_an_answer_below_500_is_the_steps_own(status: int) -> None:
    @virtual
    async def scenario() -> None:
        request, own = ask(), answer(status=status)
        assert await backed(MockService().does(own), MockService())(request) is own
        assert request.route == []

    scenario()


@pytest.mark.parametrize("failure", [answer(status=500), answer(status=599), UpstreamReset(), UpstreamTimeout()])
def test_else_the_fallback_answers_and_the_route_says_so(failure: Response | GatewayError) -> None:
    @virtual
    async def scenario() -> None:
        request = ask(b"[1]")
        instead = MockService().answers(b"[2]")
        assert (await backed(MockService().does(failure), instead)(request)).body == b"[2]"
        assert instead.bodies == [b"[1]"]
        assert request.route == [MARK]

    scenario()


@pytest.mark.parametrize("error", [BadRequest(), NoRouteMatched()])
def test_what_is_the_clients_fault_is_an_error_still(error: GatewayError) -> None:
    @virtual
    async def scenario() -> None:
        with pytest.raises(type(error)):
            await backed(MockService().fails(error), MockService())(ask())

    scenario()


@virtual
async def test_an_error_at_the_call_itself_is_a_failure_too() -> None:
    def refuse(request: Request) -> Any:
        raise UpstreamReset

    assert (await backed(refuse, MockService().answers())(ask())).status == 200


@virtual
async def test_when_both_fail_the_fallbacks_failure_counts() -> None:
    call = backed(MockService().fails(UpstreamReset("one")), MockService().fails(UpstreamReset("two")))
    with pytest.raises(UpstreamReset, match="two") as caught:
        await call(ask())
    assert caught.value.__context__ is None
    bad = answer(status=503)
    assert await backed(MockService().answers(status=500), MockService().does(bad))(ask()) is bad


@virtual
async def test_the_timeout_is_the_steps_and_the_rest_of_the_time_the_fallbacks() -> None:
    service, instead = MockService().fails(UpstreamTimeout(), after=2.0), MockService().answers()
    await backed(service, instead, timeout=2.0)(ask(deadline=9.0))
    assert service.requests[0].deadline == 2.0
    assert instead.requests[0].deadline == 9.0


@virtual
async def test_a_timeout_never_lengthens_the_time_there_is() -> None:
    service = MockService().answers().answers()
    await backed(service, MockService(), timeout=2.0)(ask(deadline=1.0))
    await backed(service, MockService())(ask(deadline=1.0))
    assert [request.deadline for request in service.requests] == [1.0, 1.0]


@virtual
async def test_the_fallback_gets_the_request_as_it_came() -> None:
    request = ask()
    request.at = ("n", "iris")

    def change(changed: Request) -> Response:
        changed.at = ("deeper", "down")
        raise UpstreamReset

    instead = MockService().answers()
    await backed(MockService().does(change), instead)(request)
    assert instead.requests[0].at == ("n", "iris")


@virtual
async def test_an_error_is_where_it_happened() -> None:
    def change(changed: Request) -> Response:
        changed.at = ("deeper", "down")
        raise BadRequest

    with pytest.raises(BadRequest) as caught:
        await backed(MockService().does(change), MockService())(ask())
    assert (caught.value.node, caught.value.step) == ("deeper", "down")


@virtual
async def test_a_client_that_leaves_is_no_failure() -> None:
    service = MockService().hangs()
    task = asyncio.ensure_future(backed(service, MockService())(ask()))  # type: ignore[arg-type]
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), service.cancelled) == (True, 1)


# Answers that were written beforehand.


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (FallbackResponse(), Response(200, [])),
        (FallbackResponse(status=204), Response(204, [])),
        (
            FallbackResponse(body={"predictions": [1, None, 0.5, "ü"]}),
            Response(200, [(b"content-type", b"application/json")], '{"predictions":[1,null,0.5,"ü"]}'.encode()),
        ),
        (FallbackResponse(body=[]), Response(200, [(b"content-type", b"application/json")], b"[]")),
        (FallbackResponse(body=False), Response(200, [(b"content-type", b"application/json")], b"false")),
        (FallbackResponse(body="ü"), Response(200, [(b"content-type", b"text/plain; charset=utf-8")], "ü".encode())),
        (
            FallbackResponse(status=503, headers={"Content-Type": "text/html", "X-A": "b"}, body="<p>"),
            Response(503, [(b"content-type", b"text/html"), (b"x-a", b"b")], b"<p>"),
        ),
    ],
)
def test_the_answer_is_what_was_written(response: FallbackResponse, expected: Response) -> None:
    @virtual
    async def scenario() -> None:
        assert await Prepared(response)(ask()) == expected

    scenario()


@virtual
async def test_each_request_gets_an_answer_of_its_own() -> None:
    prepared = Prepared(FallbackResponse(headers={"a": "b"}))
    (await prepared(ask())).headers.append((b"x-request-id", b"1"))
    assert (await prepared(ask())).headers == [(b"a", b"b")]
