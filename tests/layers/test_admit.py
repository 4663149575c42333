from __future__ import annotations

import asyncio

import pytest

from gateway.errors import NoHealthyUpstream, Overloaded
from gateway.layers.admit import Allowance, admit
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual
from tests.support.service import MockService, ask


@virtual
async def test_beyond_the_places_requests_are_refused_at_once_and_told_when_to_come_back() -> None:
    service = MockService().always(None)
    admitted = admit(Allowance(2, Registry.private()))(service)
    tasks = [asyncio.create_task(admitted(ask())) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await admitted(ask())
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "overload", 1)
    assert len(service.requests) == 2
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@virtual
async def test_a_place_is_free_again_after_an_answer_an_error_or_a_cancellation() -> None:
    allowance = Allowance(1, Registry.private())
    admitted = admit(allowance)(MockService().answers().fails(NoHealthyUpstream()).hangs().answers())
    await admitted(ask())
    with pytest.raises(NoHealthyUpstream):
        await admitted(ask())
    task = asyncio.create_task(admitted(ask()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await admitted(ask())
    assert allowance.free == 1


@virtual
async def test_all_graphs_share_the_places() -> None:
    allowance = Allowance(1, Registry.private())
    one, two = admit(allowance)(MockService().hangs()), admit(allowance)(MockService().answers())
    task = asyncio.create_task(one(ask()))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await two(ask())
    task.cancel()
    await asyncio.wait([task])
    await two(ask())


def test_saturation_is_the_part_of_all_places_that_is_taken() -> None:
    registry = Registry.private()
    old, new = Allowance(2, registry, workers=4), Allowance(5, registry, workers=4)
    ((series, cells),) = read(registry.segment)
    assert (series.name, cells[0]) == ("gateway_saturation_ratio", 0.0)
    assert old.take()
    assert old.take()
    assert not old.take()
    assert cells[0] == pytest.approx(2 / 8)
    assert new.take()  # after a reload
    assert cells[0] == pytest.approx(2 / 8 + 1 / 20)
    for allowance in (old, old, new):
        allowance.give_back()
    assert cells[0] == pytest.approx(0.0)
