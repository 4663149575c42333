from __future__ import annotations

import asyncio
from math import inf

import pytest

from gateway.errors import DeadlineExceeded
from gateway.layers.deadline import deadline
from tests.support.clock import virtual
from tests.support.service import MockService, ask


@pytest.mark.parametrize(("clients", "expected"), [(inf, 102.0), (101.5, 101.5), (102.5, 102.0)])
def test_the_earlier_of_the_clients_and_the_graphs_counts(clients: float, expected: float) -> None:
    @virtual
    async def scenario() -> None:
        await asyncio.sleep(100)
        service = MockService().answers()
        await deadline(2.0)(service)(ask(deadline=clients))
        assert service.requests[0].deadline == expected

    scenario()


@virtual
async def test_a_request_whose_time_had_passed_on_arrival_goes_nowhere() -> None:
    await asyncio.sleep(100)
    for passed in (0.0, 99.9, 100.0):
        with pytest.raises(DeadlineExceeded):
            await deadline(2.0)(MockService())(ask(deadline=passed))


@virtual
async def test_it_hands_on_what_the_service_returns() -> None:
    service = MockService(futures=True).answers(b"[]")
    answer = deadline(2.0)(service)(ask())
    assert asyncio.isfuture(answer)
    assert (await answer).body == b"[]"
