from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable
from typing import Any

import pytest

from gateway.config import backend as config
from gateway.errors import GatewayError, UpstreamConnectFailure, UpstreamReset
from gateway.layers.budget import Budget
from gateway.layers.hedge import Hedge, hedge, hedge_budget, patience
from gateway.layers.quantile import ENOUGH, Latency
from gateway.layers.retry import retry, retry_budget
from gateway.message import Request, Response
from gateway.service import Service
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask, fields


def now() -> float:
    return asyncio.get_running_loop().time()


class Hedged:
    """A Hedge around ``service`` that waits for a second, or as ``after`` says, and what it counts."""

    def __init__(self, service: Service, after: str = "1s", allowed: float = 1000, idempotent: bool = True) -> None:
        self.registry = Registry.private()
        clock = asyncio.get_running_loop().time
        self.latency = Latency(clock)
        budget = Budget(0, allowed, clock)
        layer = hedge(self.registry, "b", config.Hedge(after=after), self.latency, budget, idempotent)
        self.call = layer(service)

    @property
    def results(self) -> dict[str, float]:
        found = read(self.registry.segment)
        return {series.labels[1]: cells[0] for series, cells in found if series.name == "gateway_upstream_hedges_total"}


def results(won: int = 0, lost: int = 0, budget_exhausted: int = 0) -> dict[str, float]:
    return {"won": won, "lost": lost, "budget_exhausted": budget_exhausted}


@virtual
async def test_a_call_that_is_fast_enough_stays_alone() -> None:
    service = MockService().answers(b"[1]", after=0.9)
    hedged = Hedged(service)
    assert (await hedged.call(ask())).body == b"[1]"
    assert len(service.requests) == 1
    assert hedged.results == results()


@pytest.mark.parametrize("futures", [False, True])
def test_when_the_first_is_slow_the_second_answers_and_the_first_is_cancelled(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        service = MockService(futures=futures).hangs().answers(b"[2]", after=0.5)
        hedged = Hedged(service)
        assert (await hedged.call(ask(b"[0]", deadline=9.0))).body == b"[2]"
        assert now() == 1.5
        await asyncio.sleep(0)
        assert service.cancelled == 1
        assert service.bodies == [b"[0]", b"[0]"]
        assert [fields(request) for request in service.requests] == [[], [(b"x-gateway-attempt-count", b"2")]]
        assert [request.deadline for request in service.requests] == [9.0, 9.0]
        assert hedged.results == results(won=1)

    scenario()


@pytest.mark.parametrize("futures", [False, True])
def test_when_the_first_answers_after_all_the_second_is_cancelled(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        service = MockService(futures=futures).answers(b"[1]", after=1.5).hangs()
        hedged = Hedged(service)
        assert (await hedged.call(ask())).body == b"[1]"
        assert now() == 1.5
        await asyncio.sleep(0)
        assert service.cancelled == 1
        assert hedged.results == results(lost=1)

    scenario()


@virtual
async def test_when_both_answer_at_once_the_first_counts() -> None:
    hedged = Hedged(MockService(futures=True).answers(b"[1]", after=2.0).answers(b"[2]", after=1.0))
    assert (await hedged.call(ask())).body == b"[1]"
    assert hedged.results == results(lost=1)


BAD = [UpstreamReset(), answer(b"bad", 500)]


@pytest.mark.parametrize("bad", BAD)
def test_a_failure_of_one_waits_for_the_other(bad: GatewayError | Response) -> None:
    @virtual
    async def scenario() -> None:
        hedged = Hedged(MockService().answers(b"[1]", after=5.0).does(bad, after=1.0))
        assert (await hedged.call(ask())).body == b"[1]"
        assert (now(), hedged.results) == (5.0, results(lost=1))
        hedged = Hedged(MockService().does(bad, after=2.0).answers(b"[2]", after=5.0))
        assert (await hedged.call(ask())).body == b"[2]"
        assert (now(), hedged.results) == (11.0, results(won=1))

    scenario()


@pytest.mark.parametrize(("first", "second"), [(2.0, 5.0), (5.0, 2.0)])
def test_when_both_fail_the_first_one_s_failure_is_the_callers(first: float, second: float) -> None:
    @virtual
    async def scenario() -> None:
        hedged = Hedged(MockService().fails(UpstreamReset("one"), first).fails(UpstreamReset("two"), second))
        with pytest.raises(UpstreamReset, match="one"):
            await hedged.call(ask())
        hedged = Hedged(MockService().answers(b"one", 503, after=first).fails(UpstreamReset("two"), second))
        assert (await hedged.call(ask())).body == b"one"
        assert hedged.results == results(lost=1)

    scenario()


@pytest.mark.parametrize("bad", BAD)
def test_a_failure_before_the_second_call_is_not_a_reason_for_one(bad: GatewayError | Response) -> None:
    @virtual
    async def scenario() -> None:
        hedged = Hedged(MockService().does(bad, after=0.5))
        if isinstance(bad, Response):
            assert await hedged.call(ask()) is bad
        else:
            with pytest.raises(type(bad)):
                await hedged.call(ask())
        assert hedged.results == results()

    scenario()


@virtual
async def test_an_error_at_the_call_itself_is_an_end_like_any_other() -> None:
    first = MockService().answers(b"[1]", after=2.0)

    def second_refused(request: Request) -> Awaitable[Response]:
        if fields(request):
            raise UpstreamConnectFailure
        return first(request)

    assert (await Hedged(second_refused).call(ask())).body == b"[1]"


# When there is no second call.


@virtual
async def test_no_second_call_of_what_may_not_be_repeated() -> None:
    hedged = Hedged(MockService().answers(after=9.0).answers(after=9.0).answers(b"[2]"), idempotent=False)
    await hedged.call(ask())
    assert hedged.results == results()
    request = ask()
    request.method = b"GET"
    assert (await hedged.call(request)).body == b"[2]"


@pytest.mark.parametrize(("deadline", "calls"), [(0.9, 1), (1.0, 1), (1.1, 2)])
def test_no_second_call_for_which_there_is_no_time(deadline: float, calls: int) -> None:
    @virtual
    async def scenario() -> None:
        service = MockService().answers(after=5.0).answers(after=5.0)
        await Hedged(service).call(ask(deadline=deadline))
        assert len(service.requests) == calls

    scenario()


@virtual
async def test_no_second_call_beyond_the_budget() -> None:
    service = MockService().always(answer(), after=2.0)
    hedged = Hedged(service, allowed=0.1)
    await hedged.call(ask())
    await hedged.call(ask())
    assert len(service.requests) == 3
    assert hedged.results == results(lost=1, budget_exhausted=1)


@virtual
async def test_the_budget_is_a_share_and_one_in_ten_seconds() -> None:
    budget = hedge_budget(config.Hedge(budget_percent=5))
    assert [budget.take(), budget.take()] == [True, False]
    for _ in range(100):
        budget.noted += 1
    assert sum(budget.take() for _ in range(100)) == 5
    assert not hedge_budget(config.Hedge(budget_percent=0)).take()


# After which time.


@virtual
async def test_a_quantile_of_the_latency_once_there_are_enough_samples() -> None:
    service = MockService().always(answer(), after=1.0)
    hedged = Hedged(service, after="90p")
    for _ in range(ENOUGH):
        service.answers(after=1.0)
        await hedged.call(ask())
    assert hedged.results == results()
    service.hangs().answers(b"[2]")
    began = now()
    assert (await hedged.call(ask())).body == b"[2]"
    assert now() - began == pytest.approx(1.0, rel=0.06)


@virtual
async def test_calls_that_lost_against_a_second_one_count_as_slow() -> None:
    hedged = Hedged(MockService().hangs().answers(after=0.25))
    await hedged.call(ask())
    for _ in range(ENOUGH - 2):
        hedged.latency.observe(1e-4)
    assert hedged.latency.quantile(1.0) == pytest.approx(1.25, rel=0.05)
    assert hedged.latency.quantile(0.95) == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize("first", [0.5, 2.0])
def test_a_first_call_that_answers_is_timed_from_its_beginning(first: float) -> None:
    @virtual
    async def scenario() -> None:
        hedged = Hedged(MockService().answers(after=first).hangs())
        await hedged.call(ask())
        for _ in range(ENOUGH - 1):
            hedged.latency.observe(1e-4)
        assert hedged.latency.quantile(1.0) == pytest.approx(first, rel=0.05)

    scenario()


@virtual
async def test_what_failed_says_nothing_about_the_latency() -> None:
    hedged = Hedged(MockService().always(answer(status=500)))
    for _ in range(2 * ENOUGH):
        await hedged.call(ask())
    assert hedged.latency.quantile(0.5) is None


@pytest.mark.parametrize(("after", "share"), [("95p", 0.95), ("99.9p", 0.999), ("5p", 0.05)])
def test_quantiles(after: str, share: float) -> None:
    latency = Latency(lambda: 0.0)
    for number in range(1, 1001):
        latency.observe(number / 1000)
    assert patience(after, latency)() == latency.quantile(share)


@pytest.mark.parametrize(("after", "seconds"), [("250ms", 0.25), ("1m30s", 90.0), ("0s", 0.0)])
def test_durations(after: str, seconds: float) -> None:
    assert patience(after, Latency(lambda: 0.0))() == seconds


@pytest.mark.parametrize("after", ["", "95", "p95", "100p", "-5p", "1.5s", "95p ", "95 p"])
def test_neither_a_quantile_nor_a_duration(after: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 250ms, or a quantile such as 95p, got "):
        patience(after, Latency(lambda: 0.0))


# Where to, and with whom.


class Cluster(MockService):
    def __init__(self) -> None:
        super().__init__()
        self.avoided: list[list[Any]] = []

    async def call(self, request: Request, tried: list[Any]) -> Response:
        self.avoided.append(list(tried))
        tried.append(len(tried))
        return await self(request)


@virtual
async def test_the_second_call_avoids_the_endpoint_of_the_first() -> None:
    cluster = Cluster()
    cluster.hangs().answers()
    await Hedged(cluster).call(ask())
    assert cluster.avoided == [[], [0]]


@virtual
async def test_a_retry_of_both_avoids_both() -> None:
    cluster = Cluster()
    cluster.fails(UpstreamReset(), after=3.0).fails(UpstreamReset(), after=3.0).answers()
    policy = config.Retry(retry_on=("reset",))
    layer = retry(Registry.private(), "b", policy, retry_budget(policy, workers=1))
    assert layer is not None
    assert (await layer(Hedged(cluster).call)(ask())).status == 200
    assert cluster.avoided == [[], [0], [0, 1]]


@virtual
async def test_a_client_that_leaves_cancels_both() -> None:
    service = MockService().hangs().hangs()
    hedged = Hedged(service)
    task = asyncio.ensure_future(hedged.call(ask()))
    await asyncio.sleep(2)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert (len(service.requests), service.cancelled) == (2, 2)
    assert hedged.results == results(lost=1)


@virtual
async def test_a_client_that_leaves_early_cancels_the_first_and_there_is_no_second() -> None:
    service = MockService().hangs()
    task = asyncio.ensure_future(Hedged(service).call(ask()))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.sleep(5)
    assert (len(service.requests), service.cancelled) == (1, 1)


@virtual
async def test_it_shows_when_it_acts() -> None:
    assert repr(Hedged(MockService()).call) == "<Hedge after=1.0 <Budget taken=0 of 10000>>"
    assert isinstance(Hedged(MockService()).call, Hedge)


@pytest.mark.parametrize("after", [0.5, 2.0])
def test_an_error_that_is_passed_on_leaves_no_cycle_behind(after: float) -> None:
    def refuse(request: Request) -> Response:
        raise UpstreamReset

    @virtual
    async def scenario() -> None:
        hedged = Hedged(MockService().always(refuse, after=after))
        gc.collect()
        gc.disable()
        try:
            await _failing(hedged.call)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            assert not [found for found in gc.garbage if isinstance(found, GatewayError)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    scenario()


async def _failing(call: Service) -> None:
    try:
        await call(ask())
    except UpstreamReset:
        pass
    await asyncio.sleep(5)
