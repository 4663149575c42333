from __future__ import annotations

import asyncio

from gateway.telemetry.gathered import Gathered
from tests.support.clock import virtual


class Left(Gathered[int]):
    def __init__(self) -> None:
        super().__init__(delay=1.0, batch=3)
        self.left: list[tuple[float, list[int]]] = []

    def _leave(self, items: list[int]) -> None:
        self.left.append((asyncio.get_running_loop().time(), items))


@virtual
async def test_few_leave_after_the_delay_and_many_in_the_next_round() -> None:
    gathered = Left()
    for item in (1, 2):
        gathered.take(item)
        await asyncio.sleep(0.25)
    await asyncio.sleep(5.0)
    for item in (3, 4, 5, 6):
        gathered.take(item)
    assert gathered.left == [(1.0, [1, 2])]
    await asyncio.sleep(5.0)
    assert gathered.left[1:] == [(5.5, [3, 4, 5, 6])]


@virtual
async def test_what_is_handed_on_leaves_once() -> None:
    gathered = Left()
    gathered.hand_on()
    gathered.take(1)
    gathered.hand_on()
    await asyncio.sleep(5.0)
    assert gathered.left == [(0.0, [1])]
