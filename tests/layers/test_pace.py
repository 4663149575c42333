from __future__ import annotations

import asyncio

import pytest

from gateway.errors import DeadlineExceeded
from gateway.layers.pace import APART, LET_THROUGH, Pace, no_pace
from gateway.layers.quantile import ENOUGH, HALF
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def warm(service: MockService, calls: int = ENOUGH, status: int = 200) -> Pace:
    """Of ``service``, which has answered after a second each time."""
    pace = Pace("iris", asyncio.get_running_loop().time)
    for _ in range(calls):
        service.answers(status=status, after=1.0)
        await pace.call(service, ask())
    service.requests.clear()
    return pace


@virtual
async def test_a_call_that_can_hardly_end_in_time_is_not_made() -> None:
    service = MockService()
    pace = await warm(service)
    with pytest.raises(DeadlineExceeded) as caught:
        pace.call(service, ask(deadline=soon(0.3)))
    assert caught.value.detail.startswith("300 ms were left, and half of the calls of iris take longer than 9")
    assert service.requests == []


@virtual
async def test_one_that_has_as_much_time_as_half_of_them_take_is() -> None:
    service = MockService()
    pace = await warm(service)
    service.answers(b"[1]")
    assert (await pace.call(service, ask(deadline=soon(1.1)))).body == b"[1]"


@virtual
async def test_while_too_few_calls_are_known_all_are_made() -> None:
    service = MockService().answers()
    pace = await warm(service, ENOUGH - 1)
    service.answers()
    assert (await pace.call(service, ask(deadline=soon(0.01)))).status == 200


@virtual
async def test_what_failed_tells_nothing() -> None:
    service = MockService()
    pace = await warm(service, status=500)
    service.answers()
    assert (await pace.call(service, ask(deadline=soon(0.01)))).status == 200


@virtual
async def test_now_and_then_a_hopeless_one_is_made_so_that_a_backend_can_recover() -> None:
    service = MockService()
    pace = await warm(service)
    service.always(answer())
    made = 0
    for _ in range(100 * LET_THROUGH):
        try:
            made += (await pace.call(service, ask(deadline=soon(0.1)))).ok
        except DeadlineExceeded:
            pass
        assert made <= len(service.requests)
    assert len(service.requests) > 100 * LET_THROUGH / 2  # half of what it knows was fast before long


@virtual
async def test_what_is_known_is_forgotten_when_nobody_calls() -> None:
    service = MockService()
    pace = await warm(service)
    await asyncio.sleep(2 * HALF)
    service.answers(b"[1]")
    assert (await pace.call(service, ask(deadline=soon(0.3)))).body == b"[1]"
    assert pace.median == 0.0


@virtual
async def test_under_load_calls_are_looked_at_now_and_then() -> None:
    pace = Pace("iris", asyncio.get_running_loop().time)
    assert pace.look_at <= asyncio.get_running_loop().time()
    await asyncio.sleep(5)
    await pace.call(MockService().answers(), ask())
    assert pace.look_at == 5 + APART


@virtual
async def test_where_time_does_not_matter_no_call_comes_by() -> None:
    pace = no_pace()
    await asyncio.sleep(1e6)
    assert pace.median == 0.0
    assert pace.look_at > asyncio.get_running_loop().time()
