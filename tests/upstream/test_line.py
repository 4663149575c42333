from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeadlineExceeded, GatewayError, NoHealthyUpstream, QueueTimeout, UpstreamOverflow
from gateway.telemetry.metrics import Registry
from gateway.telemetry.names import BUCKETS
from gateway.upstream.line import REASONS, Line
from tests.support.clock import run, virtual

Take = Callable[[], int | None]


class Seen:
    """A line, and what its metrics say."""

    def __init__(self, capacity: int) -> None:
        self.registry = Registry.private()
        self.line: Line[int] = Line(self.registry, "iris")
        self.line.resize(capacity)
        self.numbers: Iterator[int] = count()
        self.room = 0

    def take(self) -> int | None:
        if not self.room:
            return None
        self.room -= 1
        return next(self.numbers)

    def admit(self, room: int) -> None:
        self.room = room
        while self.line.admit():
            pass

    @property
    def depth(self) -> float:
        return self.registry.gauge("gateway_queue_depth", backend="iris").value

    @property
    def capacity(self) -> float:
        return self.registry.gauge("gateway_queue_capacity", backend="iris").value

    @property
    def waits(self) -> list[float]:
        return list(self.registry.histogram("gateway_queue_wait_seconds", BUCKETS, backend="iris")._cells)

    @property
    def dropped(self) -> dict[str, float]:
        found = {
            reason: self.registry.counter("gateway_queue_dropped_total", backend="iris", reason=reason).value
            for reason in REASONS
        }
        return {reason: value for reason, value in found.items() if value}


@virtual
async def test_first_come_first_served() -> None:
    seen = Seen(10)
    waiting = [seen.line.join(seen.take) for _ in range(4)]
    assert (seen.depth, seen.capacity) == (4, 10)
    seen.admit(room=2)
    assert [future.result() for future in waiting[:2]] == [0, 1]
    assert not waiting[2].done()
    assert seen.depth == 2
    seen.admit(room=5)
    assert [future.result() for future in waiting] == [0, 1, 2, 3]
    assert (seen.room, seen.depth) == (3, 0)
    assert not seen.line.admit()


@virtual
async def test_a_full_line_refuses_at_once_and_goes_on_when_there_is_room_again() -> None:
    seen = Seen(1)
    first = seen.line.join(seen.take)
    with pytest.raises(UpstreamOverflow) as caught:
        seen.line.join(seen.take)
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "upstream_overflow", 1)
    assert seen.dropped == {"full": 1}
    seen.admit(room=1)
    assert first.result() == 0
    seen.line.join(seen.take)
    assert seen.depth == 1


@virtual
async def test_each_leaves_at_its_own_time() -> None:
    seen = Seen(10)
    loop = asyncio.get_running_loop()
    left: list[tuple[str, float]] = []

    def note(name: str) -> Callable[[asyncio.Future[int]], None]:
        def ended(future: asyncio.Future[int]) -> None:
            error = future.exception()
            assert isinstance(error, GatewayError)
            left.append((f"{name} {error.code} {error.retry_after}", round(loop.time(), 6)))

        return ended

    seen.line.be_patient(5.0, QueueTimeout)
    for name, deadline, since in (("a", inf, inf), ("b", 2.0, inf), ("c", 7.0, -2.0), ("d", 1.0, 0.0)):
        seen.line.join(seen.take, deadline, since).add_done_callback(note(name))
    await asyncio.sleep(4.5)
    staying = seen.line.join(seen.take)
    await asyncio.sleep(4.5)
    assert left == [
        ("d deadline_exceeded None", 1.0),
        ("b deadline_exceeded None", 2.0),
        ("c queue_timeout 1", 3.0),
        ("a queue_timeout 1", 5.0),
    ]
    assert seen.dropped == {"deadline": 2, "timeout": 2}
    assert seen.depth == 1
    assert not staying.done()


@virtual
async def test_what_running_out_of_patience_means_is_for_the_caller_to_say() -> None:
    seen = Seen(1)
    seen.line.be_patient(0.5, NoHealthyUpstream)
    waiting = seen.line.join(seen.take)
    with pytest.raises(NoHealthyUpstream, match=r"iris: still waiting after 0\.5 s"):
        await waiting


@virtual
async def test_patience_may_change_for_all_who_wait_and_begin_anew() -> None:
    seen = Seen(1)
    loop = asyncio.get_running_loop()
    waiting = seen.line.join(seen.take)
    seen.line.be_patient(3.0, QueueTimeout)
    await asyncio.sleep(2)
    seen.line.be_patient(3.0, NoHealthyUpstream, after=2.0)
    with pytest.raises(NoHealthyUpstream):
        await waiting
    assert loop.time() == 5
    waiting = seen.line.join(seen.take, since=4.0)
    await asyncio.sleep(1)
    seen.line.be_patient(1.0, QueueTimeout)
    with pytest.raises(QueueTimeout, match="after 2 s"):
        await waiting
    assert loop.time() == 6


@virtual
async def test_who_leaves_at_nearly_the_same_time_is_seen_off_together() -> None:
    seen = Seen(1000)
    loop = asyncio.get_running_loop()
    sweeps: list[float] = []
    sweep = seen.line._sweep
    seen.line._sweep = lambda: (sweeps.append(loop.time()), sweep())[1]  # type: ignore[method-assign]
    waiting = [seen.line.join(seen.take, 1 + index / 10000) for index in range(1000)]
    for future in waiting:
        with pytest.raises(DeadlineExceeded):
            await future
    assert len(sweeps) <= 12
    assert loop.time() <= 1.12


@virtual
async def test_who_is_called_off_leaves_at_once_and_harms_nobody() -> None:
    seen = Seen(3)
    waiting = [seen.line.join(seen.take) for _ in range(3)]
    waiting[0].cancel()
    waiting[1].cancel()
    seen.admit(room=1)  # before the loop came round
    assert waiting[2].result() == 0
    assert (seen.depth, seen.dropped) == (0, {"cancelled": 2})
    another = seen.line.join(seen.take)
    another.cancel()
    await asyncio.sleep(0)
    assert (seen.depth, seen.dropped, len(seen.line.waiters)) == (0, {"cancelled": 3}, 0)


@virtual
async def test_who_is_late_is_not_let_in_any_more() -> None:
    seen = Seen(3)
    late = seen.line.join(seen.take, deadline=0.0)
    good = seen.line.join(seen.take)
    seen.admit(room=1)
    assert isinstance(late.exception(), DeadlineExceeded)
    assert good.result() == 0


@virtual
async def test_all_can_be_sent_away_each_with_an_error_of_its_own() -> None:
    seen = Seen(3)
    waiting = [seen.line.join(seen.take) for _ in range(3)]
    waiting[0].cancel()
    seen.line.dismiss(lambda: NoHealthyUpstream("none", retry_after=1))
    errors = [future.exception() for future in waiting[1:]]
    assert all(isinstance(error, NoHealthyUpstream) for error in errors)
    assert errors[0] is not errors[1]
    assert (seen.depth, seen.dropped) == (0, {"unhealthy": 2, "cancelled": 1})


@virtual
async def test_a_smaller_line_keeps_those_who_wait_already() -> None:
    seen = Seen(2)
    waiting = [seen.line.join(seen.take) for _ in range(2)]
    seen.line.resize(1)
    assert (seen.depth, seen.capacity) == (2, 1)
    seen.admit(room=1)
    with pytest.raises(UpstreamOverflow):
        seen.line.join(seen.take)
    seen.admit(room=1)
    assert all(future.done() for future in waiting)


@virtual
async def test_how_long_they_waited_is_measured() -> None:
    seen = Seen(2)
    seen.line.join(seen.take)
    await asyncio.sleep(2)
    seen.admit(room=1)
    assert seen.waits[BUCKETS.index(2.5)] == 1
    assert (sum(seen.waits[:-1]), seen.waits[-1]) == (1, 2.0)


@virtual
async def test_all_metrics_are_there_from_the_start() -> None:
    seen = Seen(0)
    names = {(series.name, series.labels) for series in seen.registry._cells}
    assert names == {
        ("gateway_queue_depth", ("iris",)),
        ("gateway_queue_capacity", ("iris",)),
        ("gateway_queue_wait_seconds", ("iris",)),
        *(("gateway_queue_dropped_total", ("iris", reason)) for reason in REASONS),
    }


@virtual
async def test_its_state_is_in_its_repr() -> None:
    seen = Seen(7)
    seen.line.join(seen.take)
    assert repr(seen.line) == "<Line iris 1/7>"


Step = tuple[str, int]
STEPS = st.lists(st.tuples(st.sampled_from(["join", "admit", "cancel", "pass"]), st.integers(0, 9)), max_size=40)


@given(STEPS)
def test_whatever_happens_the_line_stays_in_order_and_counts_right(steps: list[Step]) -> None:
    async def scenario() -> None:
        seen = Seen(5)
        joined: list[asyncio.Future[int]] = []
        refused = 0
        for what, number in steps:
            if what == "join":
                try:
                    joined.append(seen.line.join(seen.take, deadline=asyncio.get_running_loop().time() + number))
                except UpstreamOverflow:
                    refused += 1
            elif what == "admit":
                seen.admit(number % 3)
            elif what == "cancel" and joined:
                joined[number % len(joined)].cancel()
                await asyncio.sleep(0)
            elif what == "pass":
                await asyncio.sleep(number)
            assert seen.depth == sum(not future.done() for future in joined) == len(seen.line.waiters) <= 5
        await asyncio.sleep(20)  # longer than anybody waits
        assert all(future.done() for future in joined)
        admitted = [future.result() for future in joined if not future.cancelled() and not future.exception()]
        assert admitted == sorted(admitted)
        assert sum(seen.waits[:-1]) == len(admitted)
        gone = sum(seen.dropped.values())
        assert gone == refused + len(joined) - len(admitted)

    run(scenario())


def test_queue_timeout_is_503() -> None:
    assert (QueueTimeout.status, QueueTimeout.code) == (503, "queue_timeout")
