from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest

from gateway.batching.lane import Batch, Case, Entry, Lane
from gateway.batching.learnt import Learnt
from gateway.batching.queue import IDLE, KEYS, Queue
from gateway.config.batch import Batch as Policy
from gateway.errors import QueueTooLong, UpstreamOverflow
from gateway.formats.format import Member
from tests.support.toy import Model, Toy, rows

_LOOP = asyncio.new_event_loop()
NOBODY: asyncio.Future[Any] = _LOOP.create_future()
_LOOP.close()
MODEL, TOY = Model(), Toy()


class Line:
    """A Queue, with a clock that is said; every call takes a second for ``fixed`` and ``per_row`` for each row."""

    def __init__(self, slots: int = 1, capacity: int = 100, fixed: float = 1.0, **policy: Any) -> None:
        learnt = Learnt()
        self.cost = learnt.cost
        self.cost.fixed = fixed
        self.queue = Queue(Policy(**policy), learnt, slots, capacity)

    def lane(self, key: str, now: float = 0.0) -> Lane:
        lane = self.queue.lanes.get(key) or self.queue.open(key, MODEL, TOY, now)
        assert lane is not None
        return lane

    def join(self, key: str, count: int = 1, now: float = 0.0, deadline: float = inf, behind: float = 0.0) -> Entry:
        member = Member(rows(*range(count), deadline=deadline), count, key, None)
        entry = Entry(self.lane(key, now), member, NOBODY, now, now + behind)
        if (last := self.queue.join(entry, now)) is not None:
            self.queue.leave(last)
        return entry

    def take(self, now: float = 0.0) -> list[Entry] | None:
        batch = self.queue.take(now)
        return None if batch is None else list(batch.entries)

    def end(self, batch: Batch, now: float) -> None:
        for entry in batch.entries:
            if not entry.gone:
                self.queue.leave(entry)
        self.queue.end(batch, now)


def test_who_waits_longest_comes_first_whatever_its_key() -> None:
    line = Line()
    a1, b1, a2 = line.join("a", now=1.0), line.join("b", now=2.0), line.join("a", now=3.0)
    first = line.queue.take(4.0)
    assert first is not None
    assert first.entries == [a1, a2]
    assert line.take(4.0) is None  # the slot is taken
    line.end(first, 5.0)
    assert line.take(5.0) == [b1]


def test_a_batch_ends_before_the_request_that_does_not_fit() -> None:
    line = Line(slots=9, max_batch_size=4)
    entries = [line.join("a", count) for count in (2, 1, 2, 2, 1)]
    assert [line.take(), line.take(), line.take()] == [entries[:2], entries[2:4], entries[4:]]
    assert (line.queue.waiting, line.queue.running) == (0, 3)
    assert repr(line.queue).startswith("<Queue waiting=0/100 running=3/9")


def test_who_has_gone_is_passed_over() -> None:
    line = Line(max_batch_size=2)
    entries = [line.join("a") for _ in range(4)]
    line.queue.leave(entries[0])
    line.queue.leave(entries[2])
    assert line.queue.waiting == 2
    assert line.take() == [entries[1], entries[3]]


def test_fixed_waits_from_the_first_arrival_on_and_says_until_when() -> None:
    line = Line(linger="fixed", max_delay=0.5, max_batch_size=3)
    entries = [line.join("a", now=1.0), line.join("a", now=1.4)]
    assert line.take(1.4) is None
    assert line.queue.wake == 1.5
    assert line.take(1.5) == entries
    assert line.queue.take(9.0) is None
    assert line.queue.wake == inf


def test_a_key_that_waits_does_not_hold_up_another() -> None:
    line = Line(linger="fixed", max_delay=0.5, max_batch_size=2)
    line.join("a", now=1.0)
    full = [line.join("b", now=1.2), line.join("b", now=1.2)]
    assert line.take(1.2) == full


@pytest.mark.parametrize(("deadline", "due"), [(9.0, 3.0), (3.502, 2.5), (1.0, 1.0)])
def test_nobody_waits_longer_than_its_deadline_bears(deadline: float, due: float) -> None:
    line = Line(linger="fixed", max_delay=2.0)
    entry = line.join("a", now=1.0, deadline=deadline)
    if due > 1.0:
        assert line.take(1.0) is None
        assert line.queue.wake == pytest.approx(due)
    assert line.take(due) == [entry]


def test_parts_of_a_failed_batch_go_before_all_others_and_mix_with_nobody() -> None:
    line = Line(linger="fixed", max_delay=60.0, max_batch_size=4)
    entries = [line.join("a") for _ in range(4)]
    batch = line.queue.take(0.0)
    assert batch is not None
    later = [line.join("a", now=1.0) for _ in range(4)]
    line.queue.leave(entries[2])
    line.queue.again(batch, [entries[:1], entries[1:]], Case(4))
    line.queue.end(batch, 1.0)
    assert line.queue.waiting == 7
    for expected in (entries[:1], [entries[1], entries[3]], later):
        found = line.queue.take(1.0)
        assert found is not None
        assert found.entries == expected
        line.end(found, 1.0)
    assert line.queue.waiting == 0


def test_a_key_that_rests_sends_one_at_a_time() -> None:
    line = Line(slots=9)
    entries = [line.join("a") for _ in range(3)]
    line.lane("a").kind.rest(10.0)
    assert [line.take(1.0), line.take(1.0), line.take(11.0)] == [[entry] for entry in entries]


def test_a_full_queue_takes_nobody() -> None:
    line = Line(capacity=2)
    first = line.join("a")
    line.join("b")
    with pytest.raises(UpstreamOverflow):
        line.join("c")
    line.queue.leave(first)
    line.join("c")


def test_the_wait_is_what_is_under_way_and_what_is_before() -> None:
    line = Line(max_batch_size=2, fixed=2.0)
    line.cost.per_row = 0.5
    line.join("a", 2)
    assert line.take(0.0)  # ends at 3.0
    with pytest.raises(QueueTooLong) as refused:
        line.join("a", now=1.0, deadline=5.4)  # and its own call takes until 5.5
    assert refused.value.retry_after == 2
    line.join("a", now=1.0, deadline=5.6)
    # Two more calls, one for "a" and one for "b", and then its own.
    with pytest.raises(QueueTooLong):
        line.join("b", now=1.0, deadline=7.9)
    line.join("b", now=1.0, deadline=8.1)


def test_more_slots_are_less_wait() -> None:
    line = Line(slots=2, max_batch_size=1, fixed=1.0)
    for _ in range(6):
        line.join("a")
    assert line.take()
    assert line.take()
    line.join("a", deadline=4.1)
    with pytest.raises(QueueTooLong):
        line.join("a", deadline=4.1)


def test_nobody_is_refused_while_nothing_is_known() -> None:
    line = Line(fixed=0.0)
    for _ in range(50):
        line.join("a", deadline=0.001)


def test_keys_are_bounded_and_those_in_use_stay() -> None:
    line = Line(capacity=KEYS)
    for n in range(KEYS):
        line.join(str(n))
    assert line.queue.open("one more", MODEL, TOY, 0.0) is None
    taken = line.queue.take(0.0)
    assert taken is not None
    assert line.queue.open("one more", MODEL, TOY, 0.0) is None
    line.end(taken, 1.0)
    assert line.queue.open("one more", MODEL, TOY, 0.0) is not None
    assert "0" not in line.queue.lanes
    assert len(line.queue.lanes) == KEYS


def test_a_flood_does_not_wash_away_what_is_known_against_a_key() -> None:
    line = Line()
    line.lane("bad").kind.strike(0.0)
    for n in range(2 * KEYS):
        line.lane(str(n))
    assert "bad" in line.queue.lanes


def test_what_nobody_uses_is_forgotten_unless_it_rests() -> None:
    line = Line()
    used, resting = line.join("used"), line.lane("resting")
    line.lane("idle")
    line.lane("fresh", IDLE)
    resting.kind.rest(IDLE + 1)
    line.queue.forget_idle(IDLE)
    assert set(line.queue.lanes) == {"used", "resting", "fresh"}
    line.queue.leave(used)
    line.queue.forget_idle(3 * IDLE)
    assert not line.queue.lanes


# Where some are more urgent than others.


def test_the_more_urgent_come_first_whatever_their_key() -> None:
    line = Line(slots=9, max_batch_size=1, priority_levels=3)
    low, mid = line.join("a", now=0.0, behind=2.0), line.join("b", now=0.1, behind=1.0)
    high, also_high = line.join("a", now=0.2), line.join("c", now=0.3)
    assert [line.take(0.3) for _ in range(4)] == [[high], [also_high], [mid], [low]]


def test_spare_rows_are_for_the_less_urgent_of_the_same_key() -> None:
    line = Line(slots=9, max_batch_size=4, priority_levels=2)
    low = [line.join("a", 1, now=0.1 * n, behind=1.0) for n in range(3)]
    other = line.join("b", 1, now=0.3)
    high = line.join("a", 2, now=0.4)
    assert line.take(0.4) == [other]
    assert line.take(0.4) == [high, *low[:2]]
    assert line.take(0.4) == [low[2]]


def test_who_has_waited_long_enough_is_not_passed_any_more() -> None:
    line = Line(max_batch_size=1, priority_levels=2)
    low = line.join("a", now=0.0, behind=1.0)
    before, after = line.join("a", now=0.9), line.join("a", now=1.1)
    order = []
    for _ in range(3):
        batch = line.queue.take(2.0)
        assert batch is not None
        order += batch.entries
        line.end(batch, 2.0)
    assert order == [before, low, after]


def test_in_a_full_queue_the_more_urgent_takes_the_place_of_the_last() -> None:
    line = Line(capacity=3, priority_levels=3)
    older, newer = line.join("a", now=0.0, behind=2.0), line.join("b", now=0.1, behind=2.0)
    mid = line.join("c", now=0.2, behind=1.0)
    line.join("a", now=0.3)
    assert [entry.gone for entry in (older, newer, mid)] == [False, True, False]
    line.join("d", now=0.4, behind=1.0)
    assert [entry.gone for entry in (older, newer, mid)] == [True, True, False]
    assert line.queue.waiting == 3
    with pytest.raises(UpstreamOverflow):
        line.join("a", now=0.5, behind=1.0)  # no more urgent than the last
    with pytest.raises(UpstreamOverflow):
        line.join("a", now=0.5, behind=2.0)


def test_nobody_takes_the_place_of_one_who_has_waited_long_enough() -> None:
    line = Line(capacity=1, priority_levels=2)
    low = line.join("a", now=0.0, behind=1.0)
    with pytest.raises(UpstreamOverflow):
        line.join("a", now=1.1)
    assert not low.gone


def test_who_would_be_too_late_takes_nobodys_place() -> None:
    line = Line(slots=1, capacity=1, fixed=2.0, priority_levels=2)
    line.join("a")
    assert line.take(0.0)
    low = line.join("a", now=0.1, behind=1.0)
    with pytest.raises(QueueTooLong):
        line.join("a", now=0.2, deadline=3.0)
    assert not low.gone


def test_what_is_sent_once_more_gives_way_to_nobody() -> None:
    line = Line(capacity=1, priority_levels=2)
    line.join("a", behind=1.0)
    batch = line.queue.take(0.0)
    assert batch is not None
    line.queue.again(batch, [list(batch.entries)], Case(1))
    with pytest.raises(UpstreamOverflow):
        line.join("a", now=0.1)
    assert not batch.entries[0].gone


def test_only_what_goes_before_it_makes_a_request_late() -> None:
    line = Line(slots=1, max_batch_size=1, priority_levels=2)
    line.join("b")
    assert line.take(0.0)  # ends at 1.0
    for _ in range(5):
        line.join("a", behind=1.0)
    with pytest.raises(QueueTooLong):
        line.join("a", deadline=6.0, behind=1.0)
    line.join("a", deadline=2.1)
    with pytest.raises(QueueTooLong):  # the urgent one is before it now
        line.join("c", deadline=2.1)
    line.join("c", deadline=3.1)


def test_where_a_slot_is_free_nothing_that_comes_later_makes_it_late() -> None:
    line = Line(slots=1, linger="fixed", max_delay=60.0, priority_levels=2)
    line.join("a", behind=1.0)
    line.join("b", deadline=1.1)


def test_fixed_waits_from_the_oldest_on_though_a_more_urgent_one_is_before_it() -> None:
    line = Line(linger="fixed", max_delay=0.5, priority_levels=2)
    low, high = line.join("a", now=1.0, behind=1.0), line.join("a", now=1.4)
    assert line.take(1.4) is None
    assert line.queue.wake == 1.5
    assert line.take(1.5) == [high, low]
