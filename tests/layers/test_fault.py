from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, repeat

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.backend import Fault, FaultAbort, FaultDelay
from gateway.errors import UpstreamReset, UpstreamTimeout
from gateway.http.drive import Drive
from gateway.http.origin import Origin
from gateway.layers.attempt import calling
from gateway.layers.fault import fault
from gateway.message import Request, Response, header
from gateway.service import Service
from gateway.telemetry.metrics import Registry, read
from gateway.upstream.endpoint import Endpoint
from tests.support.clock import run, virtual
from tests.support.service import MockService, answer, ask

LATE = Fault(delay=FaultDelay(duration=2.0))
FAILS = Fault(abort=FaultAbort(status=418))


def draws(*points: float) -> Callable[[], float]:
    """Hands out ``points``, the last one for ever."""
    rest: Iterator[float] = chain(points, repeat(points[-1]))
    return lambda: next(rest)


def faulty(plan: Fault, service: Service, registry: Registry | None = None, *points: float) -> Service:
    return fault(plan, registry or Registry.private(), "b", draws(*(points or (0.0,))))(service)


def counted(registry: Registry) -> dict[tuple[str, ...], float]:
    return {series.labels: cells[0] for series, cells in read(registry.segment)}


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual
async def test_a_delayed_call_is_made_later() -> None:
    registry, service = Registry.private(), MockService().answers(b"late")
    assert (await faulty(LATE, service, registry)(ask())).body == b"late"
    assert now() == 2.0
    assert counted(registry) == {("b", "delay"): 1.0, ("b", "abort"): 0.0}


class Elsewhere(MockService):
    """Keeps what it was told to avoid."""

    def __init__(self) -> None:
        super().__init__()
        self.avoided: list[object] = []

    def call(self, request: Request, tried: list[Endpoint]) -> Awaitable[Response]:
        self.avoided.append(tried)
        return self(request)


@pytest.mark.parametrize("draw", [0.0, 0.999])
@virtual
async def test_a_second_call_still_goes_elsewhere(draw: float) -> None:
    service = Elsewhere().always(answer())
    assert isinstance(service, Elsewhere)
    half = Fault(delay=FaultDelay(duration=2.0, percentage=50))
    tried = [Endpoint(Origin("h", 80), MockService())]
    layer = faulty(half, service, None, draw)
    await calling(layer)(ask(), tried)
    assert service.avoided == [tried]
    assert service.avoided[0] is tried


@virtual
async def test_an_aborted_call_is_an_answer_and_reaches_nobody() -> None:
    registry, service = Registry.private(), MockService()
    response = await faulty(FAILS, service, registry)(ask())
    assert response.status == 418
    assert header(response.headers, b"content-type") == b"application/problem+json"
    body = orjson.loads(response.body)
    assert (body["status"], body["code"], body["title"]) == (418, "fault_injected", "Fault injected")
    assert not service.requests
    assert counted(registry) == {("b", "delay"): 0.0, ("b", "abort"): 1.0}


@virtual
async def test_answers_that_were_made_up_share_nothing() -> None:
    failing = faulty(FAILS, MockService())
    first, second = await failing(ask()), await failing(ask())
    first.headers.append((b"x", b"y"))
    assert header(second.headers, b"x") is None


@virtual
async def test_late_and_failing() -> None:
    both = faulty(Fault(delay=LATE.delay, abort=FAILS.abort), MockService())
    assert (await both(ask())).status == 418
    assert now() == 2.0


@given(st.integers(0, 100), st.integers(0, 100))
def test_shares_are_exactly_the_percentages(late: int, failing: int) -> None:
    plan = Fault(delay=FaultDelay(duration=1.0, percentage=late), abort=FaultAbort(status=500, percentage=failing))
    slots = [(slot + 0.5) / 100 for slot in range(100)]

    async def every_slot_once(of_the_delay: bool) -> dict[tuple[str, ...], float]:
        registry, service = Registry.private(), MockService().always(answer())
        for slot in slots:
            points = (slot, 0.999999) if of_the_delay else (0.999999, slot)
            await faulty(plan, service, registry, *points)(ask())
        return counted(registry)

    if late < 100:
        assert run(every_slot_once(of_the_delay=False))["b", "abort"] == failing
    if failing < 100:
        assert run(every_slot_once(of_the_delay=True))["b", "delay"] == late


@virtual
async def test_who_is_spared_is_called_without_a_coroutine_around_it() -> None:
    service = MockService(futures=True).answers()
    spared = faulty(Fault(delay=FaultDelay(duration=1.0, percentage=10)), service, None, 0.1)(ask())
    assert isinstance(spared, asyncio.Future)
    assert (await spared).ok


@virtual
async def test_a_delay_ends_with_the_time_that_the_call_has() -> None:
    service = MockService()
    with pytest.raises(UpstreamTimeout):
        await faulty(LATE, service)(ask(deadline=now() + 0.5))
    assert now() == 0.5
    assert not service.requests


@virtual
async def test_a_delay_that_leaves_time_leaves_the_deadline_alone() -> None:
    service = MockService().answers()
    await faulty(LATE, service)(ask(deadline=2.5))
    assert service.requests[0].deadline == 2.5


@virtual
async def test_what_the_backend_does_is_its_own() -> None:
    service = MockService().answers(status=500).fails(UpstreamReset())
    spared = faulty(LATE, service)
    assert (await spared(ask())).status == 500
    with pytest.raises(UpstreamReset):
        await spared(ask())


@virtual
async def test_a_client_that_leaves_during_the_delay_is_not_called_for() -> None:
    service, ended = MockService(), list[BaseException | None]()

    def end(response: Response | None, error: BaseException | None) -> None:
        ended.append(error)

    drive = Drive(asyncio.get_running_loop(), end)
    drive.begin(faulty(LATE, service)(ask()))
    await asyncio.sleep(1)
    drive.cancel()
    await asyncio.sleep(0.1)
    assert isinstance(ended[0], asyncio.CancelledError)
    await asyncio.sleep(5)
    assert not service.requests
