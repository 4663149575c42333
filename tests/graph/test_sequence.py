from __future__ import annotations

import asyncio
import gzip

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeadlineExceeded, GatewayError, NoHealthyUpstream, NoRouteMatched, UpstreamUnusable
from gateway.graph.sequence import Sequence, instances
from gateway.graph.step import Condition
from gateway.message import Response
from tests.support.clock import run, virtual
from tests.support.service import MockService, answer, ask
from tests.support.steps import step, steps


def has(key: str) -> Condition:
    return lambda found: isinstance(found, dict) and key in found


@virtual
async def test_each_step_gets_the_nodes_input_and_the_last_one_answers() -> None:
    first, second = MockService().answers(b'"one"'), MockService().answers(b'"two"', 201)
    result = await Sequence(steps(first, second))(ask(b'"in"'))
    assert (result.status, result.body) == (201, b'"two"')
    assert first.bodies == second.bodies == [b'"in"']
    assert first.requests[0].at == ("n", "")


@virtual
async def test_data_response_passes_the_answer_on_with_the_headers_that_describe_it() -> None:
    first = MockService().answers(b"one", headers=[(b"content-type", b"text/plain"), (b"server", b"x")])
    second = MockService().answers()
    request = ask(b"{}", [(b"content-type", b"application/json"), (b"x-tenant", b"a")])
    await Sequence(steps(first, second, use_response=True))(request)
    assert first.bodies == [b"{}"]  # nothing has answered yet: the node's input
    assert second.bodies == [b"one"]
    assert second.requests[0].headers == [(b"x-tenant", b"a"), (b"content-type", b"text/plain")]


@pytest.mark.parametrize("status", [199, 300, 404, 503])
def test_a_hard_step_that_fails_ends_the_node_with_its_answer(status: int) -> None:
    @virtual
    async def scenario() -> None:
        failed = MockService().answers(b"no", status)
        result = await Sequence([step(failed, hard=True), step(MockService(), index=1)])(ask())
        assert (result.status, result.body) == (status, b"no")

    scenario()


@virtual
async def test_a_hard_step_without_an_answer_ends_the_node_with_its_error() -> None:
    failed = MockService().fails(NoHealthyUpstream("down"))
    with pytest.raises(NoHealthyUpstream) as caught:
        await Sequence([step(failed, "classify", hard=True), step(MockService(), index=1)])(ask())
    assert (caught.value.node, caught.value.step) == ("n", "classify")


@virtual
async def test_whoever_is_nearest_to_the_failure_is_named() -> None:
    failed = MockService().fails(NoHealthyUpstream("down", node="inner", step="deep"))
    with pytest.raises(NoHealthyUpstream) as caught:
        await Sequence([step(failed, "outer", hard=True)])(ask())
    assert (caught.value.node, caught.value.step) == ("inner", "deep")


@pytest.mark.parametrize("failure", [answer(b"oops", 500), NoHealthyUpstream("down")])
def test_after_a_soft_failure_response_is_the_last_successful_answer(failure: Response | GatewayError) -> None:
    @virtual
    async def scenario() -> None:
        third = MockService().answers(b"three")
        good, bad = MockService().answers(b"one"), MockService().does(failure)
        result = await Sequence(steps(good, bad, third, use_response=True))(ask())
        assert third.bodies == [b"one"]
        assert result.body == b"three"

    scenario()


@virtual
async def test_with_no_successful_answer_yet_response_is_the_input() -> None:
    second = MockService().answers()
    await Sequence(steps(MockService().answers(b"oops", 500), second, use_response=True))(ask(b"in"))
    assert second.bodies == [b"in"]


@virtual
async def test_the_node_answers_as_its_last_step_even_when_that_failed_softly() -> None:
    result = await Sequence(steps(MockService().answers(), MockService().answers(b"gone", 404)))(ask())
    assert (result.status, result.body) == (404, b"gone")
    with pytest.raises(NoHealthyUpstream) as caught:
        await Sequence(steps(MockService().answers(), MockService().fails(NoHealthyUpstream("down"))))(ask())
    assert caught.value.node == "n"


@virtual
async def test_a_soft_failure_may_come_before_a_success() -> None:
    result = await Sequence(steps(MockService().fails(NoHealthyUpstream("down")), MockService().answers(b"two")))(ask())
    assert result.body == b"two"


@virtual
async def test_a_condition_is_tested_on_the_input_first_and_then_on_the_previous_answer() -> None:
    first, second = MockService().answers(b'{"b": 1}'), MockService().answers(b"two")
    node = Sequence([step(first, condition=has("a")), step(second, index=1, condition=has("b"))])
    assert (await node(ask(b'{"a": 1}'))).body == b"two"


@pytest.mark.parametrize("body", [b'{"c": 1}', b"not json"])
def test_an_unmet_condition_stops_with_what_there_is(body: bytes) -> None:
    @virtual
    async def scenario() -> None:
        node = Sequence([step(MockService().answers(body, 203)), step(MockService(), index=1, condition=has("b"))])
        result = await node(ask())
        assert (result.status, result.body) == (203, body)

    scenario()


@virtual
async def test_skip_passes_over_the_step_and_keeps_the_last_answer() -> None:
    third = MockService().answers(b"three")
    node = Sequence(
        [
            step(MockService().answers(b'{"a": 1}')),
            step(MockService(), index=1, condition=has("b"), skip=True),
            step(third, index=2, condition=has("a"), use_response=True),
        ]
    )
    assert (await node(ask())).body == b"three"
    assert third.bodies == [b'{"a": 1}']


@virtual
async def test_a_condition_sees_the_previous_answer_even_when_that_failed() -> None:
    fallback = MockService().answers(b"fallback")
    failed = MockService().answers(b'{"error": "x"}', 500)
    node = Sequence([step(failed), step(fallback, index=1, condition=has("error"))])
    assert (await node(ask())).body == b"fallback"


@virtual
async def test_after_a_step_without_an_answer_a_condition_sees_the_answer_before_it() -> None:
    last = MockService().answers(b"last")
    down = MockService().fails(NoHealthyUpstream("down"))
    node = Sequence([step(MockService().answers(b'{"a": 1}')), step(down), step(last, condition=has("a"))])
    assert (await node(ask())).body == b"last"


@virtual
async def test_a_stop_after_a_failure_does_not_hide_it() -> None:
    down = MockService().fails(NoHealthyUpstream("down"))
    node = Sequence([step(MockService().answers()), step(down), step(MockService(), condition=has("x"))])
    with pytest.raises(NoHealthyUpstream):
        await node(ask())


@pytest.mark.parametrize("skip", [False, True])
def test_every_step_left_out_is_no_route(skip: bool) -> None:
    with pytest.raises(NoRouteMatched) as caught:
        run(Sequence([step(MockService(), condition=has("a"), skip=skip)])(ask()))
    assert caught.value.node == "n"


@virtual
async def test_an_answer_that_cannot_be_read_is_the_backends_fault() -> None:
    first = MockService().answers(b"x", headers=[(b"content-encoding", b"br")])
    with pytest.raises(UpstreamUnusable):
        await Sequence([step(first), step(MockService(), index=1, condition=has("a"))])(ask())


@virtual
async def test_no_step_is_called_after_the_deadline() -> None:
    slow, never = MockService().answers(after=2.0), MockService()
    with pytest.raises(DeadlineExceeded) as caught:
        await Sequence([step(slow, "slow"), step(never, "never", 1)])(ask(deadline=2.0))
    assert (caught.value.status, caught.value.step) == (504, "never")


@virtual
async def test_a_steps_timeout_is_its_own() -> None:
    first, second = MockService().answers(after=1.0), MockService().answers()
    await Sequence([step(first, timeout=3.0), step(second, index=1)])(ask(deadline=9.0))
    assert [first.requests[0].deadline, second.requests[0].deadline] == [3.0, 9.0]


@virtual
async def test_predictions_become_the_next_steps_instances() -> None:
    second = MockService().answers()
    first = MockService().answers(b'{"model": "x", "predictions": [12345678901234567890123, 1.10]}')
    await Sequence([step(first), step(second, use_response=True, map_predictions=True)])(ask())
    assert second.bodies == [b'{"instances":[12345678901234567890123, 1.10]}']
    assert second.requests[0].headers == [(b"content-type", b"application/json")]


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [1]}',
        b'{"predictions": [ ]}',
        b'{"predictions": "1"}',
        b'{"predictions": null}',
        b'{"Predictions": [1]}',
        b"[1]",
        b"not json",
        b"",
        b'{"predictions": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
    ids=lambda body: body[:24].decode(),
)
def test_without_predictions_the_request_stays_as_it_is(body: bytes) -> None:
    request = ask(body)
    assert instances(request) is request


def test_compressed_predictions_are_mapped_and_sent_plain() -> None:
    request = instances(ask(gzip.compress(b'{"predictions":[1]}'), [(b"content-encoding", b"gzip")]))
    assert request.body == b'{"instances":[1]}'
    assert request.headers == [(b"content-type", b"application/json")]


@given(st.lists(st.integers(-(2**60), 2**60) | st.text() | st.lists(st.booleans()), min_size=1))
def test_mapping_renames_and_changes_nothing_else(values: list[object]) -> None:
    mapped = instances(ask(orjson.dumps({"other": 1, "predictions": values})))
    assert orjson.loads(mapped.body) == {"instances": values}


@virtual
async def test_a_cancelled_node_cancels_its_step() -> None:
    service = MockService().hangs()
    task = asyncio.create_task(Sequence(steps(service, MockService()))(ask()))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert service.cancelled == 1
