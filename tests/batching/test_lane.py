from __future__ import annotations

import asyncio
from typing import Any

from gateway.batching.kind import Kind
from gateway.batching.lane import Case, Entry, Lane
from gateway.formats.format import Member
from tests.support.toy import Model, Toy, rows

_LOOP = asyncio.new_event_loop()
NOBODY: asyncio.Future[Any] = _LOOP.create_future()
_LOOP.close()


def a_lane() -> Lane:
    return Lane(Model(), Toy(), Kind(), 0.0)


def entry(lane: Lane, rank: float) -> Entry:
    one = Entry(lane, Member(rows(1), 1, "a", [1]), NOBODY, 0.0, rank)
    lane.join(one)
    return one


def test_a_lane_of_nobody_is_idle() -> None:
    lane = a_lane()
    assert lane.idle
    assert lane.head() is None
    assert repr(lane) == "<Lane waiting=0 running=0 <Rhythm rows=1 bursts=1>>"


def test_they_stand_by_rank_and_who_comes_with_the_same_rank_behind() -> None:
    lane = a_lane()
    made = [entry(lane, rank) for rank in (1.0, 3.0, 2.0, 3.0, 1.0, 0.5)]
    together, count, full = lane.candidates(32, 0.0)
    assert together == [made[5], made[0], made[4], made[2], made[1], made[3]]
    assert (count, full) == (6, False)


def test_parts_go_before_the_most_urgent_who_wait() -> None:
    lane = a_lane()
    failed = [entry(lane, 9.0) for _ in range(3)]
    lane.waiting.clear()
    lane.again([failed[:2], failed[2:]], Case(3))
    entry(lane, 0.0)
    assert lane.head() is failed[0]
    assert lane.candidates(32, 0.0) == (failed[:2], 2, True)
    assert repr(lane).startswith("<Lane waiting=4 ")
