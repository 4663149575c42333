from __future__ import annotations

import asyncio
import logging
import re
import uuid

import orjson
import pytest

from gateway.errors import Abandoned, MethodNotAllowed, NoHealthyUpstream, Overloaded, UpstreamTimeout
from gateway.layers.recover import Recover, RequestIds
from gateway.message import Headers, Request, Response, header
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask, fields


def asking(given: bytes, headers: Headers | None = None) -> Request:
    request = ask(headers=headers)
    request.id = given
    return request


@pytest.mark.parametrize("given", [b"a", b"A-z.0_9", b"x" * 128])
def test_a_well_formed_id_is_kept_and_echoed(given: bytes) -> None:
    @virtual
    async def scenario() -> None:
        service = MockService().answers()
        response = await Recover(service)(asking(given, [(b"x-request-id", given)]))
        assert fields(response) == [(b"x-request-id", given)]
        assert fields(service.requests[0]) == [(b"x-request-id", given)]

    scenario()


@pytest.mark.parametrize("given", [b"?", b"x" * 129, b"two words", b"a,b", b"a\tb", b"\xe4", b"a\n", b'{"a":1}'])
def test_any_other_id_is_replaced_everywhere(given: bytes) -> None:
    @virtual
    async def scenario() -> None:
        service = MockService().answers()
        request = asking(given, [(b"x-request-id", given), (b"accept", b"*/*"), (b"x-request-id", b"second")])
        made = header(fields(await Recover(service)(request)), b"x-request-id")
        assert made is not None
        assert uuid.UUID(made.decode()).version == 4
        assert fields(service.requests[0]) == [(b"accept", b"*/*"), (b"x-request-id", made)]
        assert service.requests[0].id == made

    scenario()


def test_a_request_without_an_id_gets_one() -> None:
    @virtual
    async def scenario() -> None:
        service = MockService().answers()
        made = header(fields(await Recover(service)(asking(b"", [(b"accept", b"*/*")]))), b"x-request-id")
        assert made is not None
        assert uuid.UUID(made.decode()).version == 4
        assert fields(service.requests[0]) == [(b"accept", b"*/*"), (b"x-request-id", made)]

    scenario()


def test_made_ids_are_well_formed_random_uuids() -> None:
    ids = RequestIds()
    made = [ids().decode() for _ in range(2000)]
    assert len(set(made)) == len(made)
    for text in made:
        assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)
        assert str(uuid.UUID(text)) == text
        assert (uuid.UUID(text).version, uuid.UUID(text).variant) == (4, uuid.RFC_4122)
    assert {text[19] for text in made} == set("89ab")


@virtual
async def test_an_answer_says_which_way_the_request_went() -> None:
    def chosen(request: Request) -> Response:
        request.route += [b"root=a", b"canary=iris-v2"]
        return answer(b"[]", 201, [(b"content-type", b"application/json")])

    response = await Recover(MockService().does(chosen))(ask())
    assert (response.status, response.body) == (201, b"[]")
    assert fields(response) == [
        (b"content-type", b"application/json"),
        (b"x-request-id", b"id-1"),
        (b"x-gateway-route", b"root=a, canary=iris-v2"),
    ]


@virtual
async def test_an_error_becomes_a_problem_with_everything_that_is_known_about_it() -> None:
    error = UpstreamTimeout("no answer from http://a in time")
    error.graph = "iris"
    request = ask()
    request.at = ("root", "classify")
    request.route.append(b"root=classify")
    response = await Recover(MockService().fails(error))(request)
    assert response.status == 504
    assert fields(response) == [
        (b"content-type", b"application/problem+json"),
        (b"x-request-id", b"id-1"),
        (b"x-gateway-route", b"root=classify"),
    ]
    assert orjson.loads(response.body) == {
        "type": "urn:inference-gateway:error:upstream_timeout",
        "title": "Upstream timeout",
        "status": 504,
        "detail": "no answer from http://a in time",
        "code": "upstream_timeout",
        "graph": "iris",
        "node": "root",
        "step": "classify",
        "requestId": "id-1",
        "error": "no answer from http://a in time",
    }


@virtual
async def test_the_place_that_an_error_names_itself_wins() -> None:
    request = ask()
    request.at = ("root", "outer")
    response = await Recover(MockService().fails(NoHealthyUpstream(node="inner", step="a")))(request)
    problem = orjson.loads(response.body)
    assert (problem["node"], problem["step"]) == ("inner", "a")


@virtual
async def test_headers_that_belong_to_an_error_are_sent() -> None:
    late = await Recover(MockService().fails(Overloaded("full", retry_after=3)))(ask())
    assert (late.status, header(late.headers, b"retry-after")) == (503, b"3")
    wrong = await Recover(MockService().fails(MethodNotAllowed(allow=b"GET, HEAD")))(ask())
    assert (wrong.status, header(wrong.headers, b"allow")) == (405, b"GET, HEAD")


@virtual
async def test_an_error_raised_by_the_call_itself_is_answered_too() -> None:
    def refuses(request: Request) -> asyncio.Future[Response]:
        raise NoHealthyUpstream("nobody")

    assert (await Recover(refuses)(ask())).status == 503


def test_a_bug_is_a_500_with_a_log_line_and_no_word_of_it_to_the_client(caplog: pytest.LogCaptureFixture) -> None:
    def breaks(request: Request) -> asyncio.Future[Response]:
        raise ZeroDivisionError("secret")

    @virtual
    async def scenario() -> None:
        recover = Recover(breaks)
        response = await recover(ask())
        assert response.status == 500
        assert orjson.loads(response.body)["code"] == "internal_error"
        assert header(fields(response), b"x-request-id") == b"id-1"
        assert b"secret" not in response.body
        assert b"Traceback" not in response.body
        assert recover.in_flight == 0

    with caplog.at_level(logging.ERROR, "gateway"):
        scenario()
    (record,) = caplog.records
    assert record.getMessage() == "a bug: request id-1 failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@virtual
async def test_abandoned_is_left_to_the_connection() -> None:
    recover = Recover(MockService().fails(Abandoned()))
    with pytest.raises(Abandoned):
        await recover(ask())
    assert recover.in_flight == 0


@virtual
async def test_idle_is_told_at_once_or_when_the_last_request_has_ended() -> None:
    told: list[float] = []
    loop = asyncio.get_running_loop()
    recover = Recover(MockService().answers(after=1.0).answers(after=2.0).hangs())
    tasks = [asyncio.create_task(recover(ask())) for _ in range(3)]
    await asyncio.sleep(0)
    assert recover.in_flight == 3
    recover.when_idle(lambda: told.append(loop.time()))
    await tasks[0]
    await tasks[1]
    assert told == []
    tasks[2].cancel()
    await asyncio.wait(tasks)
    assert told == [2.0]
    idle = Recover(MockService())
    idle.when_idle(lambda: told.append(-1.0))
    assert told == [2.0, -1.0]
