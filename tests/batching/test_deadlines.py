from __future__ import annotations

import asyncio

from gateway.alarm import TICK
from gateway.batching.deadlines import Deadlines
from gateway.batching.kind import Kind
from gateway.batching.lane import Entry, Lane
from gateway.formats.format import Member
from tests.support.clock import VirtualLoop, virtual
from tests.support.toy import Model, Toy, rows


def entry(deadline: float) -> Entry:
    member = Member(rows(1, deadline=deadline), 1, "a", [1])
    return Entry(Lane(Model(), Toy(), Kind(), 0.0), member, asyncio.get_running_loop().create_future(), 0.0, 0.0)


class Told:
    """What was found to be late, and when."""

    def __init__(self) -> None:
        self.late: list[tuple[float, float]] = []
        self.deadlines = Deadlines(self.expire)

    def expire(self, entry: Entry, now: float) -> None:
        self.late.append((entry.deadline, now))
        self.deadlines.discard(entry)


@virtual
async def test_each_is_told_at_its_time_and_one_that_was_discarded_never() -> None:
    told = Told()
    entries = [entry(deadline) for deadline in (5.0, 1.0, 3.0, 9.0)]
    for one in entries:
        told.deadlines.add(one)
    told.deadlines.discard(entries[2])
    await asyncio.sleep(20.0)
    assert told.late == [(1.0, 1.0), (5.0, 5.0), (9.0, 9.0)]


@virtual
async def test_many_that_are_close_together_are_found_in_few_looks() -> None:
    told = Told()
    for n in range(100):
        told.deadlines.add(entry(1.0 + n / 10000))
    await asyncio.sleep(2.0)
    assert [deadline for deadline, _ in told.late] == [1.0 + n / 10000 for n in range(100)]
    assert {when for _, when in told.late} == {1.0, 1.0 + TICK}


@virtual
async def test_without_deadlines_there_is_no_timer() -> None:
    Told().deadlines.add(entry(float("inf")))
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert not loop._scheduled  # type: ignore[attr-defined]
