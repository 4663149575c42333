from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.config import backend as config
from gateway.errors import DeadlineExceeded, GatewayError, UpstreamConnectFailure, UpstreamReset, UpstreamTimeout
from gateway.layers.budget import Budget
from gateway.layers.retry import Counters, Redial, Retry, retry, retry_budget
from gateway.message import Request, Response
from gateway.service import Service
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask, fields

BUSY = answer(b"busy", 503, [(b"retry-after", b"2"), (b"x-model", b"a")])
ALL = ("connect-failure", "reset", "gateway-error", "5xx", "429", "503", "timeout")


class Tried:
    """A Retry around ``service`` with pauses of no chance, and what it counts."""

    def __init__(self, service: Service, *, draw: float = 0.0, allowed: float = 1000, now: float = 0, **policy: Any):
        self.registry = Registry.private()
        chosen = config.Retry(**({"retry_on": ALL} | policy))
        self.budget = Budget(0, allowed, asyncio.get_running_loop().time)
        counters = Counters(self.registry, "b", chosen.retry_on)
        self.call = Retry(service, chosen, self.budget, counters, lambda: draw, lambda: now)

    def count(self, name: str) -> dict[str, float]:
        """By reason, without those that are 0."""
        found = read(self.registry.segment)
        return {series.labels[-1]: cells[0] for series, cells in found if series.name == name and cells[0]}

    @property
    def retries(self) -> dict[str, float]:
        return self.count("gateway_upstream_retries_total")


def counts(service: MockService) -> list[bytes | None]:
    return [dict(fields(request)).get(b"x-gateway-attempt-count") for request in service.requests]


# What is retried, and what the caller sees.


@virtual
async def test_a_good_answer_is_handed_on_and_nothing_is_counted() -> None:
    tried = Tried(MockService().answers(b"[1]"))
    assert (await tried.call(ask())).body == b"[1]"
    assert tried.retries == tried.count("gateway_upstream_retry_success_total") == {}


@virtual
async def test_what_fails_is_tried_again_and_each_attempt_after_the_first_says_which_it_is() -> None:
    service = MockService().fails(UpstreamConnectFailure()).fails(UpstreamReset()).answers(b"[1]", 404)
    tried = Tried(service, attempts=3)
    answered = await tried.call(ask(b"[0]", [(b"a", b"b")]))
    assert (answered.status, answered.body) == (404, b"[1]")
    assert service.bodies == [b"[0]"] * 3
    assert counts(service) == [None, b"2", b"3"]
    assert tried.retries == {"connect-failure": 1.0, "reset": 1.0}
    assert tried.count("gateway_upstream_retry_success_total") == {"b": 1.0}


@virtual
async def test_the_last_answer_is_passed_on_as_it_came() -> None:
    tried = Tried(MockService().answers(b"first", 500).does(BUSY))
    assert await tried.call(ask()) is BUSY
    assert tried.retries == {"5xx": 1.0}
    assert tried.count("gateway_upstream_retry_success_total") == {}


@virtual
async def test_the_last_error_is_raised_whatever_came_before() -> None:
    last = UpstreamReset("again")
    tried = Tried(MockService().answers(status=503).fails(last))
    with pytest.raises(UpstreamReset) as caught:
        await tried.call(ask())
    assert caught.value is last
    assert caught.value.__context__ is None


@virtual
async def test_an_error_raised_at_the_call_itself_is_an_error_too() -> None:
    def refuse(request: Request) -> Awaitable[Response]:
        if fields(request):
            return MockService().answers()(request)
        raise UpstreamConnectFailure

    assert (await Tried(refuse).call(ask())).status == 200


@virtual
async def test_what_meets_no_condition_is_final() -> None:
    for status in (400, 404, 500, 502):
        tried = Tried(MockService().answers(status=status), retry_on=("429", "503"))
        assert (await tried.call(ask())).status == status
    with pytest.raises(UpstreamReset):
        await Tried(MockService().fails(UpstreamReset()), retry_on=("connect-failure",)).call(ask())


@virtual
async def test_what_may_not_be_repeated_is_not() -> None:
    with pytest.raises(UpstreamReset):
        await Tried(MockService().fails(UpstreamReset()), idempotent=False).call(ask())
    service = MockService().fails(UpstreamConnectFailure()).answers()
    assert (await Tried(service, idempotent=False).call(ask())).status == 200


@virtual
async def test_with_answers_that_never_stop_failing_the_attempts_are_the_limit() -> None:
    service = MockService().always(answer(status=500))
    await Tried(service, attempts=5).call(ask())
    assert len(service.requests) == 5


# Pauses.


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 0.0), (0.5, 0.5 + 1.0 + 1.5 + 1.5), (1.0, 9.0)])
def test_pauses_are_random_and_double_up_to_the_longest(draw: float, seconds: float) -> None:
    @virtual
    async def scenario() -> None:
        service = MockService().always(answer(status=500))
        await Tried(service, draw=draw, attempts=5, backoff=config.Backoff(base=1.0, max=3.0)).call(ask())
        assert asyncio.get_running_loop().time() == pytest.approx(seconds)

    scenario()


@virtual
async def test_very_many_attempts_do_not_overflow() -> None:
    service = MockService().always(answer(status=500))
    await Tried(service, attempts=2000, allowed=10_000).call(ask())
    assert len(service.requests) == 2000


@pytest.mark.parametrize(("status", "draw", "seconds"), [(503, 0.0, 2.0), (429, 0.0, 2.0), (503, 1.0, 3.0)])
def test_a_server_that_asks_for_patience_gets_it(status: int, draw: float, seconds: float) -> None:
    @virtual
    async def scenario() -> None:
        service = MockService().answers(b"", status, [(b"retry-after", b"2")]).answers()
        assert (await Tried(service, draw=draw).call(ask())).status == 200
        assert asyncio.get_running_loop().time() == seconds

    scenario()


@virtual
async def test_until_a_date_too() -> None:
    when = [(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT")]
    tried = Tried(MockService().answers(status=503, headers=when).answers(), now=1_445_412_470)
    await tried.call(ask())
    assert asyncio.get_running_loop().time() == 10.0


@pytest.mark.parametrize(
    ("seconds", "deadline", "tries"), [(2, 2.5, 2), (2, 2.0, 1), (300, 1e6, 2), (301, 1e6, 1), (10**8, 1e9, 1)]
)
def test_one_that_asks_for_more_than_there_is_has_its_answer_passed_on_at_once(
    seconds: int, deadline: float, tries: int
) -> None:
    @virtual
    async def scenario() -> None:
        busy = answer(b"busy", 503, [(b"retry-after", b"%d" % seconds)])
        service = MockService().does(busy).answers()
        answered = await Tried(service).call(ask(deadline=deadline))
        assert (answered is busy) == (tries == 1)
        assert len(service.requests) == tries
        assert tries == 2 or asyncio.get_running_loop().time() == 0.0

    scenario()


@virtual
async def test_no_pause_is_begun_that_the_deadline_would_end() -> None:
    service = MockService().answers(status=500).answers()
    tried = Tried(service, draw=1.0, backoff=config.Backoff(base=1.0, max=1.0))
    assert (await tried.call(ask(deadline=1.0))).status == 500
    assert asyncio.get_running_loop().time() == 0.0
    assert tried.retries == {}


# The time of one attempt.


@virtual
async def test_an_attempt_has_its_own_time_within_the_whole() -> None:
    service = MockService().fails(UpstreamTimeout(), after=2.0).fails(DeadlineExceeded(), after=2.0).answers()
    tried = Tried(service, attempts=3, per_try_timeout=2.0)
    await tried.call(ask(deadline=5.0))
    assert [request.deadline for request in service.requests] == [2.0, 4.0, 5.0]
    assert counts(service) == [None, b"2", b"3"]
    assert tried.retries == {"timeout": 2.0}


@pytest.mark.parametrize("patience", [0.0, 3.0])
def test_an_attempt_that_had_all_the_time_there_was_is_the_last(patience: float) -> None:
    @virtual
    async def scenario() -> None:
        tried = Tried(MockService().fails(UpstreamTimeout(), after=2.0), per_try_timeout=patience)
        with pytest.raises(UpstreamTimeout):
            await tried.call(ask(deadline=2.0))

    scenario()


@virtual
async def test_a_call_that_a_limit_further_in_cut_short_leaves_time_for_another() -> None:
    tried = Tried(MockService().fails(UpstreamTimeout(), after=1.0).answers(b"[1]"))
    assert (await tried.call(ask(deadline=2.0))).body == b"[1]"
    assert tried.retries == {"timeout": 1.0}


# The budget.


@virtual
async def test_beyond_the_budget_what_failed_is_passed_on_and_counted() -> None:
    service = MockService().always(answer(status=500))
    tried = Tried(service, allowed=0.3)
    for _ in range(10):
        assert (await tried.call(ask())).status == 500
    assert len(service.requests) == 13
    assert tried.count("gateway_upstream_retry_budget_exhausted_total") == {"b": 7.0}
    assert tried.retries == {"5xx": 3.0}


@virtual
async def test_with_everything_failing_a_thousand_requests_become_little_more_calls() -> None:
    registry, policy = Registry.private(), config.Retry(attempts=5, retry_on=("5xx",))
    service = MockService().always(answer(status=500))
    layer = retry(registry, "b", policy, retry_budget(policy, workers=1))
    assert layer is not None
    call = layer(service)
    for _ in range(1000):
        await call(ask())
        await asyncio.sleep(0.01)
    seconds = asyncio.get_running_loop().time()
    assert 1000 < len(service.requests) <= 1.2 * 1000 + 10 * (seconds + 10)


# Where to.


class Cluster(MockService):
    """Notes which endpoints a call was to avoid, and chooses one more."""

    def __init__(self) -> None:
        super().__init__()
        self.avoided: list[list[Any]] = []

    async def call(self, request: Request, tried: list[Any]) -> Response:
        self.avoided.append(list(tried))
        tried.append(len(tried))
        return await self(request)


@virtual
async def test_each_attempt_avoids_the_endpoints_of_those_before_it() -> None:
    cluster = Cluster()
    cluster.fails(UpstreamConnectFailure()).fails(UpstreamConnectFailure()).answers()
    budget = Budget(0, 10, asyncio.get_running_loop().time)
    policy = config.Retry(attempts=3)
    layer = retry(Registry.private(), "b", policy, budget)
    assert layer is not None
    call = layer(cluster)
    for _ in range(2):
        await call(ask())
        cluster.answers()
    assert cluster.avoided == [[], [0], [0, 1], []]


# Cancellation.


@virtual
async def test_a_caller_that_leaves_cancels_the_attempt() -> None:
    service = MockService().hangs()
    task = asyncio.ensure_future(Tried(service).call(ask()))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), service.cancelled, len(service.requests)) == (True, 1, 1)


@virtual
async def test_a_caller_that_leaves_cancels_the_pause() -> None:
    service = MockService().does(BUSY)
    task = asyncio.ensure_future(Tried(service).call(ask()))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(10)
    assert (task.cancelled(), len(service.requests)) == (True, 1)


# The default: nothing but connecting is tried again.


def default(service: Service, registry: Registry | None = None, **options: Any) -> Service:
    policy = config.Retry(**options)
    layer = retry(registry or Registry.private(), "b", policy, retry_budget(policy, workers=1))
    assert layer is not None
    return layer(service)


@virtual
async def test_an_answer_on_its_way_is_not_even_looked_at() -> None:
    future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    call = default(lambda request: future)(ask())
    assert call is future
    future.set_result(answer())


@pytest.mark.parametrize("futures", [False, True])
def test_by_default_a_failed_connection_is_tried_once_more(futures: bool) -> None:
    @virtual
    async def scenario() -> None:
        def connect(request: Request) -> Awaitable[Response]:
            return asyncio.ensure_future(service(request)) if futures else service(request)  # type: ignore[arg-type]

        service = MockService().fails(UpstreamConnectFailure()).answers(b"[1]")
        registry = Registry.private()
        assert (await default(connect, registry)(ask())).body == b"[1]"
        assert counts(service) == [None, b"2"]
        service.fails(UpstreamConnectFailure("one")).fails(UpstreamConnectFailure("two"))
        with pytest.raises(UpstreamConnectFailure, match="two"):
            await default(connect)(ask())

    scenario()


@pytest.mark.parametrize("error", [UpstreamReset(), DeadlineExceeded()])
def test_by_default_nothing_else_is(error: GatewayError) -> None:
    @virtual
    async def scenario() -> None:
        with pytest.raises(type(error)):
            await default(MockService().fails(error))(ask())
        assert (await default(MockService().answers(status=503))(ask())).status == 503

    scenario()


@virtual
async def test_by_default_an_error_at_the_call_itself_is_treated_alike() -> None:
    def refusing(*errors: GatewayError) -> Callable[[Request], Awaitable[Response]]:
        left = list(errors)

        def call(request: Request) -> Awaitable[Response]:
            if left:
                raise left.pop(0)
            return MockService().answers()(request)

        return call

    assert (await default(refusing(UpstreamConnectFailure()))(ask())).status == 200
    with pytest.raises(DeadlineExceeded):
        await default(refusing(DeadlineExceeded()))(ask())


@virtual
async def test_which_policy_becomes_which_layer() -> None:
    assert type(default(MockService())) is Redial
    assert type(default(MockService(), retry_on=())) is Redial
    assert type(default(MockService(), retry_on=("connect-failure", "reset"))) is Retry
    assert type(default(MockService(), per_try_timeout=1.0)) is Retry
    assert type(default(MockService(), attempts=1, per_try_timeout=1.0)) is Retry
    once = config.Retry(attempts=1, retry_on=("5xx",))
    assert retry(Registry.private(), "b", once, retry_budget(once, workers=1)) is None


@virtual
async def test_every_series_is_there_from_the_start() -> None:
    registry = Registry.private()
    default(MockService(), registry, retry_on=("5xx", "reset"))
    found = {series.labels for series, _ in read(registry.segment) if series.name == "gateway_upstream_retries_total"}
    assert found == {("b", "5xx"), ("b", "reset")}
    names = {series.name for series, _ in read(registry.segment)}
    assert {"gateway_upstream_retry_success_total", "gateway_upstream_retry_budget_exhausted_total"} < names


@virtual
async def test_the_least_that_is_always_allowed_is_that_of_all_workers_together() -> None:
    budget = retry_budget(config.Retry(), workers=4)
    assert sum(budget.take() for _ in range(100)) == 25


@pytest.mark.parametrize("options", [{}, {"retry_on": ("5xx",)}])
def test_an_error_that_is_passed_on_leaves_no_cycle_behind(options: dict[str, Any]) -> None:
    @virtual
    async def scenario() -> None:
        call = default(MockService().always(_refuse), **options)
        gc.collect()
        gc.disable()
        try:
            await _failing(call)
            assert not [found for found in _garbage() if isinstance(found, GatewayError)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    scenario()


def _refuse(request: Request) -> Response:
    raise UpstreamConnectFailure


async def _failing(call: Service) -> None:
    try:
        await call(ask())
    except UpstreamConnectFailure:
        pass


def _garbage() -> list[object]:
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    return list(gc.garbage)
