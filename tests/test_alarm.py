from __future__ import annotations

import asyncio
from math import inf

from gateway.alarm import Alarm
from tests.support.clock import VirtualLoop, virtual


@virtual
async def test_it_rings_at_the_earliest_time_and_once() -> None:
    rings: list[float] = []
    alarm = Alarm(rings.append)
    for when in (5.0, 2.0, 3.0, 2.0):
        alarm.set(when)
    await asyncio.sleep(10.0)
    assert rings == [2.0]


@virtual
async def test_it_can_be_set_when_it_rings() -> None:
    rings: list[float] = []

    def ring(now: float) -> None:
        rings.append(now)
        alarm.set(now + 1.0 if now < 3.0 else inf)

    alarm = Alarm(ring)
    alarm.set(1.0)
    await asyncio.sleep(10.0)
    assert rings == [1.0, 2.0, 3.0]


@virtual
async def test_for_never_there_is_no_timer() -> None:
    Alarm(lambda now: None).set(inf)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert not loop._scheduled  # type: ignore[attr-defined]
