from __future__ import annotations

import asyncio
import logging

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, NoHealthyUpstream, NoRouteMatched, UpstreamTimeout, UpstreamUnusable
from gateway.graph.ensemble import Ensemble
from gateway.graph.switch import Switch
from gateway.message import Response
from tests.support.clock import run, virtual
from tests.support.service import MockService, answer, ask
from tests.support.steps import step, steps

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e300, 1e300) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)
BROTLI = [(b"content-encoding", b"br")]
both_kinds = pytest.mark.parametrize("futures", [False, True], ids=["coroutines", "futures"])


def ensemble(*services: MockService, **options: object) -> Ensemble:
    return Ensemble(steps(*services, **options))


@both_kinds
def test_all_steps_run_at_once_on_the_same_input(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        slow = MockService(futures=futures).answers(b'{"a":1}', after=3.0)
        fast = MockService(futures=futures).answers(b'{"b":2}', after=1.0)
        result = await Ensemble([step(slow, "slow"), step(fast, "fast", 1)])(ask(b'"in"'))
        assert asyncio.get_running_loop().time() == 3.0
        assert (result.status, result.headers) == (200, [(b"content-type", b"application/json")])
        assert result.body == b'{"slow":{"a":1},"fast":{"b":2}}'
        assert slow.bodies == fast.bodies == [b'"in"']
        assert [slow.requests[0].at, fast.requests[0].at] == [("n", "slow"), ("n", "fast")]

    scenario()


@virtual
async def test_every_service_is_called_before_any_is_awaited() -> None:
    first, second = (MockService(futures=True).answers(b"1") for _ in range(2))
    coroutine = ensemble(first, second)(ask())
    result = None
    try:
        coroutine.send(None)
    except StopIteration as end:
        result = end.value
    assert isinstance(result, Response)
    assert result.body == b'{"0":1,"1":1}'


@virtual
async def test_answers_are_spliced_not_read() -> None:
    texts = [b'{"b": 1.10, "a": 12345678901234567890123, "a": 1e400}', b' "\\u00e9" ', b"-0", b"[ ]"]
    result = await ensemble(*(MockService().answers(text) for text in texts))(ask())
    assert result.body == b'{"0":%b,"1":%b,"2":%b,"3":%b}' % tuple(text.strip() for text in texts)


@given(st.dictionaries(st.text(min_size=1), JSON, max_size=5))
def test_the_splice_is_the_object_of_the_answers(answers: dict[str, object]) -> None:
    built = [step(MockService().answers(orjson.dumps(value)), key) for key, value in answers.items()]
    result = run(Ensemble(built)(ask()))
    assert list(orjson.loads(result.body).items()) == list(answers.items())


def test_no_steps_no_members() -> None:
    assert run(Ensemble([])(ask())).body == b"{}"


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (answer(b'{"error": "no \\"such\\" model"}', 404), {"error": 'no "such" model', "status": 404}),
        (answer(b'{"error": {"message": "x"}}', 400), {"error": '{"error": {"message": "x"}}', "status": 400}),
        (answer(b'{"detail": "x"}', 422), {"error": '{"detail": "x"}', "status": 422}),
        (answer(b"busy \xff\n", 429), {"error": "busy \ufffd\n", "status": 429}),
        (answer(b"x" * 5000, 500), {"error": "x" * 1024, "status": 500}),
        (answer(b"x" * 1023 + "é".encode(), 500), {"error": "x" * 1023 + "\ufffd", "status": 500}),
        (answer(b"", 503), {"error": "HTTP 503", "status": 503}),
        (answer(b"moved", 302), {"error": "moved", "status": 302}),
        (
            answer(b"?", 500, BROTLI),
            {"error": "cannot read content-encoding br", "status": 502},
        ),
        (NoHealthyUpstream("all down"), {"error": "all down", "status": 503}),
        (UpstreamTimeout(), {"error": "Upstream timeout", "status": 504}),
    ],
)
@both_kinds
def test_a_soft_failure_appears_in_its_place(
    futures: bool, failure: Response | GatewayError, expected: dict[str, object]
) -> None:
    services = MockService(futures=futures).does(failure), MockService().answers(b"1")
    result = run(ensemble(*services)(ask()))
    assert result.status == 200
    assert list(orjson.loads(result.body).items()) == [("0", expected), ("1", 1)]


@pytest.mark.parametrize("body", [b"", b"hello", b'"\xff"', b"{}{}", b"[" * 5000 + b"]" * 5000])
def test_an_answer_that_is_not_json_is_a_failure(body: bytes) -> None:
    result = run(ensemble(MockService().answers(body))(ask()))
    [(key, failure)] = orjson.loads(result.body).items()
    assert (key, failure["status"]) == ("0", 502)
    assert "not JSON" in failure["error"]
    with pytest.raises(UpstreamUnusable) as caught:
        run(ensemble(MockService().answers(body), hard=True)(ask()))
    assert caught.value.node == "n"


@both_kinds
def test_a_hard_failure_is_the_answer_and_the_rest_is_cancelled(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        hard = MockService(futures=futures).answers(b"no", 409, after=1.0)
        soft, later = MockService(futures=futures).hangs(), MockService(futures=futures).hangs()
        node = Ensemble([step(soft), step(hard, hard=True), step(later, hard=True)])
        result = await node(ask())
        assert (result.status, result.body) == (409, b"no")
        assert asyncio.get_running_loop().time() == 1.0
        await asyncio.sleep(0)
        assert [soft.cancelled, later.cancelled] == [1, 1]

    scenario()


@both_kinds
def test_the_first_hard_failure_in_step_order_wins(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        first = MockService(futures=futures).answers(b"first", 500, after=2.0)
        second = MockService(futures=futures).answers(b"second", 500, after=1.0)
        result = await ensemble(first, second, hard=True)(ask())
        assert result.body == b"first"
        assert asyncio.get_running_loop().time() == 2.0

    scenario()


@both_kinds
def test_a_later_hard_failure_waits_for_the_earlier_hard_step_to_succeed(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        first = MockService(futures=futures).answers(b"1", after=2.0)
        second = MockService(futures=futures).fails(NoHealthyUpstream("down"), after=1.0)
        with pytest.raises(NoHealthyUpstream):
            await ensemble(first, second, hard=True)(ask())
        assert asyncio.get_running_loop().time() == 2.0

    scenario()


@both_kinds
def test_a_client_that_goes_away_cancels_every_step(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        services = [MockService(futures=futures).hangs() for _ in range(3)]
        task = asyncio.create_task(ensemble(*services)(ask()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert [service.cancelled for service in services] == [1, 1, 1]

    scenario()


@both_kinds
def test_nobody_complains_about_failures_nobody_waited_for(futures: bool, caplog: pytest.LogCaptureFixture) -> None:
    @virtual
    async def scenario() -> None:
        hard = MockService(futures=futures).fails(NoHealthyUpstream("down"), after=1.0)
        soft = MockService(futures=futures).fails(UpstreamTimeout("late"), after=0.5)
        with pytest.raises(NoHealthyUpstream):
            await Ensemble([step(soft), step(hard, hard=True)])(ask())

    with caplog.at_level(logging.DEBUG, "gateway"):
        scenario()
    assert not caplog.records


@virtual
async def test_a_step_that_fails_at_the_call_itself_is_a_failure_like_any_other() -> None:
    none = Switch([step(MockService(), condition=lambda found: False)])
    other = MockService().answers(b"1")
    result = await Ensemble([step(none), step(other, index=1)])(ask())
    assert orjson.loads(result.body) == {"0": {"error": "no condition of node n holds", "status": 404}, "1": 1}
    with pytest.raises(NoRouteMatched):
        await Ensemble([step(none, hard=True), step(MockService().hangs(), index=1)])(ask())


@virtual
async def test_a_bug_in_one_step_leaves_nothing_running() -> None:
    def broken(request: object) -> Response:
        raise RuntimeError("a bug")

    other = MockService(futures=True).hangs()
    with pytest.raises(RuntimeError):
        await Ensemble([step(other), step(broken)])(ask())
    await asyncio.sleep(0)
    assert other.cancelled == 1


@virtual
async def test_each_step_has_its_own_deadline() -> None:
    first, second = MockService().answers(), MockService().answers()
    await Ensemble([step(first, timeout=0.5), step(second)])(ask(deadline=9.0))
    assert [first.requests[0].deadline, second.requests[0].deadline] == [0.5, 9.0]
