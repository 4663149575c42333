from __future__ import annotations

import asyncio

import pytest

from gateway.errors import DeadlineExceeded, GatewayError, NoHealthyUpstream
from gateway.graph.kserve.errors import NoRoute, RouterError
from gateway.graph.kserve.sequence import KServeSequence
from gateway.graph.step import Condition
from tests.support.clock import run, virtual
from tests.support.service import MockService, ask
from tests.support.steps import step, steps


def has(key: str) -> Condition:
    return lambda found: isinstance(found, dict) and key in found


@virtual
async def test_each_step_gets_the_input_unless_it_asks_for_the_previous_answer() -> None:
    services = [MockService().answers(b"%d" % index) for index in range(3)]
    first, second, third = services
    built = [step(first, use_response=True), step(second, index=1), step(third, index=2, use_response=True)]
    result = await KServeSequence(built)(ask(b"in", [(b"content-encoding", b"gzip"), (b"x-a", b"1")]))
    assert result.body == b"2"
    assert [service.bodies for service in services] == [[b"in"], [b"in"], [b"1"]]
    assert third.requests[0].headers == [(b"x-a", b"1")]


@virtual
async def test_response_is_the_previous_answer_even_when_it_failed() -> None:
    last = MockService().answers()
    built = steps(MockService().answers(b"one"), MockService().answers(b"oops", 500), last, use_response=True)
    await KServeSequence(built)(ask())
    assert last.bodies == [b"oops"]


@virtual
async def test_a_soft_failure_of_the_last_step_is_the_answer() -> None:
    result = await KServeSequence(steps(MockService().answers(), MockService().answers(b"gone", 404)))(ask())
    assert (result.status, result.body) == (404, b"gone")


@virtual
async def test_a_hard_failure_ends_the_node() -> None:
    result = await KServeSequence(steps(MockService().answers(b"no", 302), MockService(), hard=True))(ask())
    assert (result.status, result.body) == (302, b"no")


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("error", [RouterError("down"), NoRoute(), NoHealthyUpstream("down")])
def test_no_answer_is_never_tolerated(error: GatewayError, hard: bool) -> None:
    with pytest.raises(RouterError) as caught:
        run(KServeSequence(steps(MockService().fails(error), MockService(), hard=hard))(ask()))
    assert (caught.value.status, caught.value.cause, caught.value.node) == (500, error.detail, "n")


@virtual
async def test_an_unmet_condition_answers_200_with_the_previous_body() -> None:
    built = [step(MockService().answers(b'{"a": 1}', 503)), step(MockService(), index=1, condition=has("b"))]
    result = await KServeSequence(built)(ask())
    assert (result.status, result.body) == (200, b'{"a": 1}')


@virtual
async def test_a_condition_looks_at_the_previous_answer_and_not_at_the_request() -> None:
    built = [step(MockService().answers(b'{"b": 1}', 503)), step(MockService().answers(b"x"), condition=has("b"))]
    assert (await KServeSequence(built)(ask(b'{"a": 1}'))).body == b"x"


@pytest.mark.parametrize("body", [b"", b"hello", b"NaN"])
def test_a_condition_needs_a_previous_answer_that_is_json(body: bytes) -> None:
    built = [step(MockService().answers(body)), step(MockService(), index=1, condition=has("b"))]
    with pytest.raises(RouterError) as caught:
        run(KServeSequence(built)(ask()))
    assert (caught.value.status, caught.value.cause) == (500, "invalid response")


def test_a_condition_on_the_first_step_is_always_an_error() -> None:
    with pytest.raises(RouterError, match="invalid response"):
        run(KServeSequence([step(MockService(), condition=lambda found: True)])(ask(b'{"b": 1}')))


@pytest.mark.parametrize(
    ("body", "mapped"),
    [
        (b'{"predictions": [1.10, 12345678901234567890], "a": 1}', b'{"instances":[1.10, 12345678901234567890]}'),
        (b'{"PredictionS": [1]}', b'{"instances":[1]}'),
        ('{"prediction\u017f": [1]}'.encode(), b'{"instances":[1]}'),
        (b'{"predictions": [1], "Predictions": [2]}', b'{"instances":[2]}'),
        (b'{"predictions": [1], "instances": [2]}', b'{"instances":[1]}'),
        (b'{"predictions": [1], "instances": null}', b'{"instances":[1]}'),
        (b'{"predictions": [1], "Instances": "x"}', None),
        (b'{"predictions": []}', None),
        (b'{"predictions": "1"}', None),
        (b'{"predictions": null}', None),
        (b'{"instances": [1]}', None),
        (b"[1]", None),
        (b"null", None),
        (b"", None),
        (b"hello", None),
    ],
)
def test_predictions_become_instances(body: bytes, mapped: bytes | None) -> None:
    first, second = MockService().answers(body), MockService().answers()
    built = [
        step(first, map_predictions=True),
        step(second, index=1, use_response=True, map_predictions=True),
    ]
    run(KServeSequence(built)(ask(body, [(b"content-type", b"text/plain")])))
    assert first.bodies == second.bodies == [mapped or body]
    assert second.requests[0].headers == [(b"content-type", b"text/plain")]


@virtual
async def test_nobody_is_called_once_the_graphs_time_is_up() -> None:
    slow = MockService().answers(after=2.0)
    with pytest.raises(DeadlineExceeded):
        await KServeSequence(steps(slow, MockService()))(ask(deadline=2.0))


@virtual
async def test_a_steps_own_timeout_is_an_error_that_the_client_reads() -> None:
    late = MockService().fails(DeadlineExceeded("late"), after=0.5)
    with pytest.raises(RouterError, match="context deadline exceeded"):
        await KServeSequence([step(late, timeout=0.5)])(ask(deadline=9.0))
    assert asyncio.get_running_loop().time() == 0.5
