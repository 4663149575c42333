from __future__ import annotations

import asyncio

import pytest

from gateway.errors import NoHealthyUpstream, Overloaded
from gateway.layers.admit import Allowance, admit
from tests.support.clock import virtual
from tests.support.service import MockService, ask


@virtual
async def test_beyond_the_places_requests_are_refused_at_once_and_told_when_to_come_back() -> None:
    service = MockService().always(None)
    admitted = admit(Allowance(2))(service)
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
    allowance = Allowance(1)
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
    allowance = Allowance(1)
    one, two = admit(allowance)(MockService().hangs()), admit(allowance)(MockService().answers())
    task = asyncio.create_task(one(ask()))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await two(ask())
    task.cancel()
    await asyncio.wait([task])
    await two(ask())
