from __future__ import annotations

import asyncio

import pytest

from tests.support.clock import Deadlock, run, virtual


@virtual
async def test_an_hour_passes_at_once() -> None:
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600.0


def test_a_deadlock_is_an_error() -> None:
    async def waits_for_nothing() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run(waits_for_nothing())


def test_a_failure_that_nobody_saw_is_an_error() -> None:
    async def forgets() -> None:
        asyncio.get_running_loop().create_future().set_exception(ValueError("unseen"))

    with pytest.raises(AssertionError, match="never retrieved"):
        run(forgets())


def test_timers_fire_in_order() -> None:
    async def scenario() -> list[float]:
        loop, fired = asyncio.get_running_loop(), list[float]()
        for delay in (0.3, 0.1, 0.2):
            loop.call_later(delay, lambda: fired.append(loop.time()))
        await asyncio.sleep(1)
        return fired

    assert run(scenario()) == pytest.approx([0.1, 0.2, 0.3])
