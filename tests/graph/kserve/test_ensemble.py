from __future__ import annotations

import asyncio
import logging

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeadlineExceeded
from gateway.graph.kserve.ensemble import KServeEnsemble
from gateway.graph.kserve.errors import NoRoute, RouterError
from tests.support.clock import run, virtual
from tests.support.service import MockService, ask
from tests.support.steps import step, steps

both_kinds = pytest.mark.parametrize("futures", [False, True], ids=["coroutines", "futures"])
OBJECTS = st.dictionaries(st.text(), st.integers(-(2**60), 2**60) | st.text() | st.none(), max_size=3)


@both_kinds
def test_objects_under_sorted_names(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        b = MockService(futures=futures).answers(b'{"z":1,"y":12345678901234567890123}', after=2.0)
        a = MockService(futures=futures).answers(b" null ", after=1.0)
        result = await KServeEnsemble([step(b, "b"), step(a, "a", 1)])(ask(b"in"))
        assert (result.status, result.body) == (200, b'{"a":null,"b":{"z":1,"y":12345678901234567890123}}')
        assert asyncio.get_running_loop().time() == 2.0
        assert a.bodies == b.bodies == [b"in"]

    scenario()


@given(st.dictionaries(st.text(min_size=1), OBJECTS, max_size=4))
def test_the_splice_is_the_object_of_the_answers(answers: dict[str, object]) -> None:
    built = [step(MockService().answers(orjson.dumps(value)), key) for key, value in answers.items()]
    found = orjson.loads(run(KServeEnsemble(built)(ask())).body)
    assert found == answers
    assert list(found) == sorted(answers)


def test_of_steps_with_the_same_name_the_last_one_counts() -> None:
    built = [step(MockService().answers(b'{"a":1}'), "1"), step(MockService().answers(b'{"b":2}'), "", 1)]
    assert run(KServeEnsemble(built)(ask())).body == b'{"1":{"b":2}}'


def test_names_are_written_as_go_writes_them() -> None:
    assert run(KServeEnsemble([step(MockService().answers(), "a<b")])(ask())).body == b'{"a\\u003cb":{}}'


def test_no_steps() -> None:
    assert run(KServeEnsemble([])(ask())).body == b"{}"


def test_a_soft_failure_is_merged_like_any_other_answer() -> None:
    result = run(KServeEnsemble(steps(MockService().answers(b'{"detail":"x"}', 500)))(ask()))
    assert (result.status, result.body) == (200, b'{"0":{"detail":"x"}}')


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b"", "unexpected end of JSON input"),
        (b"oops", "invalid character 'o' looking for beginning of value"),
    ],
)
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("hard", [False, True])
def test_an_answer_that_is_no_object_is_an_error(body: bytes, cause: str, status: int, hard: bool) -> None:
    services = MockService().answers(body, status), MockService().hangs()
    with pytest.raises(RouterError) as caught:
        run(KServeEnsemble(steps(*services, hard=hard))(ask()))
    assert (caught.value.status, caught.value.cause, caught.value.node) == (500, cause, "n")


@both_kinds
def test_an_error_of_any_step_ends_it_at_once(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        slow = MockService(futures=futures).hangs()
        broken = MockService(futures=futures).fails(NoRoute(), after=1.0)
        with pytest.raises(RouterError) as caught:
            await KServeEnsemble(steps(slow, broken))(ask())
        assert (caught.value.status, caught.value.cause) == (500, NoRoute().cause)
        await asyncio.sleep(0)
        assert (slow.cancelled, asyncio.get_running_loop().time()) == (1, 1.0)

    scenario()


@both_kinds
def test_a_hard_failure_waits_for_the_steps_before_it(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        soft = MockService(futures=futures).answers(b"{}", after=2.0)
        hard = MockService(futures=futures).answers(b'{"no":1}', 409, after=1.0)
        later = MockService(futures=futures).hangs()
        result = await KServeEnsemble([step(soft), step(hard, index=1, hard=True), step(later, index=2)])(ask())
        assert (result.status, result.body) == (409, b'{"no":1}')
        await asyncio.sleep(0)
        assert (later.cancelled, asyncio.get_running_loop().time()) == (1, 2.0)

    scenario()


def test_the_first_hard_failure_in_step_order_wins() -> None:
    first, second = MockService().answers(b'{"a":1}', 500, after=2.0), MockService().answers(b'{"b":1}', 501, after=1.0)
    assert run(KServeEnsemble(steps(first, second, hard=True))(ask())).status == 500


@both_kinds
def test_a_client_that_goes_away_cancels_every_step(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        services = [MockService(futures=futures).hangs() for _ in range(2)]
        task = asyncio.create_task(KServeEnsemble(steps(*services))(ask()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert [service.cancelled for service in services] == [1, 1]

    scenario()


@both_kinds
def test_of_several_errors_at_once_the_first_is_told_and_the_others_are_not_logged(
    futures: bool, caplog: pytest.LogCaptureFixture
) -> None:
    services = [MockService(futures=futures).fails(RouterError(str(index)), after=1.0) for index in range(5)]
    with caplog.at_level(logging.DEBUG, "gateway"), pytest.raises(RouterError):
        run(KServeEnsemble(steps(*services))(ask()))
    assert not caplog.records


@virtual
async def test_the_graphs_deadline_is_nobodys_error() -> None:
    late = MockService().fails(DeadlineExceeded("late"), after=1.0)
    with pytest.raises(DeadlineExceeded):
        await KServeEnsemble(steps(late))(ask(deadline=1.0))
