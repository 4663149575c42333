"""By simulation: a model server with so many places, calls that queue for them, and clients that ask all the time."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import pairwise
from random import Random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, UpstreamReset, UpstreamTimeout
from gateway.http.origin import Origin
from gateway.message import Response
from gateway.upstream.adaptive import FEW, INTERVAL, MANY, MEASURING, WINDOW, Adaptive
from gateway.upstream.endpoint import Endpoint
from tests.support.service import MockService, answer


class Server:
    """Works on ``places`` calls at once, each for ``seconds()``; the others wait their turn."""

    def __init__(self, places: int, seconds: Callable[[], float], most: int = 1000) -> None:
        self.now = 0.0
        self.places = places
        self.seconds = seconds
        self.endpoint = Endpoint(Origin("h", 80), MockService())
        self.adaptive = Adaptive(lambda: self.now, most, lambda: 0.5)
        self.limits: list[tuple[float, int]] = []
        self.done = 0
        self._free = [0.0] * places
        self._ends: list[tuple[float, float]] = []

    def run(self, until: float, demand: int) -> None:
        """``demand`` clients ask again as soon as they have their answer, as far as the limit lets them."""
        while self.now < until:
            while self.endpoint.active < min(demand, self.adaptive.limit):
                end = max(heappop(self._free), self.now) + self.seconds()
                heappush(self._free, end)
                heappush(self._ends, (end, self.now))
                self.endpoint.active += 1
            self.now, began = heappop(self._ends)
            self.adaptive(self.endpoint, answer(), None, self.now - began)
            self.endpoint.active -= 1
            self.done += 1
            self.limits.append((self.now, self.adaptive.limit))

    def limit_after(self, time: float) -> float:
        return mean(limit for now, limit in self.limits if now >= time)


@pytest.mark.parametrize(("places", "seconds"), [(1, 0.05), (4, 0.02), (10, 0.1), (50, 0.01), (10, 1.0)])
def test_the_limit_settles_where_the_server_is_busy_without_much_of_a_queue(places: int, seconds: float) -> None:
    random = Random(1)
    server = Server(places, lambda: random.uniform(0.95, 1.05) * seconds)
    server.run(until=60 * seconds + 50, demand=1000)
    settled = server.limit_after(server.now / 2)
    assert places <= settled <= 1.5 * places + 2
    assert server.done > 0.8 * places * server.now / seconds


def test_it_does_not_follow_the_fastest_calls_of_a_server_that_works_in_step() -> None:
    server = Server(10, lambda: 1.0)
    server.run(until=100, demand=1000)
    assert max(limit for now, limit in server.limits if now > 20) <= 22


def test_it_settles_with_latencies_that_vary() -> None:
    random = Random(1)
    server = Server(10, lambda: random.uniform(0.05, 0.15))
    server.run(until=50, demand=1000)
    assert 9 <= server.limit_after(25) <= 25


def test_a_server_that_gets_more_places_is_given_more_calls() -> None:
    server = Server(5, lambda: 0.05)
    server.run(until=20, demand=1000)
    before = server.limit_after(10)
    server._free += [server.now] * 20
    server.run(until=60, demand=1000)
    assert server.limit_after(40) > 2 * before


def test_a_server_that_becomes_slower_for_good_is_measured_anew() -> None:
    speed = [0.05]
    server = Server(10, lambda: speed[0])
    server.run(until=30, demand=1000)
    speed[0] = 0.2
    server.run(until=55, demand=1000)
    assert server.limit_after(50) < 8  # it looks like a queue
    server.run(until=150, demand=1000)
    assert 9 <= server.limit_after(100) <= 22


def test_measuring_takes_little_of_the_time() -> None:
    server = Server(100, lambda: 5.0)
    server.run(until=6000, demand=1000)
    measuring = sum(limit <= MEASURING for now, limit in server.limits if now > 1000)
    assert server.done > 0.75 * 100 * 6000 / 5
    assert measuring < 0.1 * len(server.limits)


def test_it_is_measured_every_minute() -> None:
    server = Server(10, lambda: 0.05)
    server.run(until=4 * INTERVAL, demand=1000)
    low = [now for now, limit in server.limits if limit == MEASURING]
    starts = [now for before, now in zip([-9.0, *low], low, strict=False) if now - before > 5]
    assert len(starts) == 4
    assert all(INTERVAL <= after - before < 1.1 * INTERVAL + 2 for before, after in pairwise(starts))


def test_what_nobody_makes_use_of_proves_nothing() -> None:
    server = Server(1000, lambda: 0.05)
    server.run(until=30, demand=5)
    assert server.limit_after(20) < 4 * 5
    server.run(until=40, demand=500)
    assert server.adaptive.limit > 200


def test_it_keeps_its_bounds() -> None:
    server = Server(500, lambda: 0.01, most=40)
    server.run(until=10, demand=1000)
    assert max(limit for _, limit in server.limits) == 40
    assert min(limit for _, limit in server.limits) == MEASURING


class Told:
    """An Adaptive past its first measurement (0.1 s), and how to tell it of calls that fill its limit."""

    def __init__(self) -> None:
        self.now = 0.0
        self.endpoint = Endpoint(Origin("h", 80), MockService())
        self.adaptive = Adaptive(lambda: self.now, draw=lambda: 0.5)
        for _ in range(FEW + 1):  # the first began as the window opened: too early
            self.tell(0.1)

    def tell(
        self,
        seconds: float,
        found: Response | None = None,
        error: GatewayError | None = None,
        after: float | None = None,
    ) -> int:
        self.now += seconds if after is None else after
        self.endpoint.active = self.adaptive.limit
        self.adaptive(self.endpoint, found if error else found or answer(), error, seconds)
        return self.adaptive.limit


def test_a_window_closes_after_its_time_or_after_many_calls() -> None:
    told = Told()
    limits = [told.tell(0.001, after=0.001) for _ in range(2 * MANY + 2)]
    assert [limits.index(limit) for limit in sorted(set(limits))] == [0, MANY, 2 * MANY + 1]
    told = Told()
    limits = [told.tell(0.01, after=WINDOW / 7.5) for _ in range(8)]
    assert len(set(limits[:7])) == 1
    assert limits[7] > limits[6]
    told = Told()
    limits = [told.tell(0.1, after=WINDOW) for _ in range(FEW + 1)]
    assert len(set(limits[:FEW])) == 1
    assert limits[-1] > limits[0]


def test_calls_that_began_before_the_window_do_not_count() -> None:
    told = Told()
    before = told.adaptive.limit
    assert {told.tell(5.0, after=0.01) for _ in range(MANY)} == {before}


def test_failing_fast_is_not_being_fast() -> None:
    told = Told()
    before = told.adaptive.limit
    assert {told.tell(0.001, answer(status=503)) for _ in range(2 * MANY)} == {before}
    assert {told.tell(0.001, None, UpstreamReset()) for _ in range(2 * MANY)} == {before}
    assert told.tell(0.001, answer(status=404)) == before
    assert max(told.tell(0.001, answer(status=404)) for _ in range(2 * MANY)) > before


def test_running_into_timeouts_is_being_slow() -> None:
    told = Told()
    for _ in range(10 * FEW):
        told.tell(0.1)
    before = told.adaptive.limit
    for _ in range(5 * MANY):
        told.tell(2.0, None, UpstreamTimeout(), after=0.1)
    assert told.adaptive.limit < before


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.integers(0, 50)), max_size=200), st.integers(1, 30))
def test_whatever_the_latencies_the_limit_stays_within_its_bounds(
    calls: list[tuple[float, float, int]], most: int
) -> None:
    now = 0.0
    endpoint = Endpoint(Origin("h", 80), MockService())
    adaptive = Adaptive(lambda: now, most)
    for after, seconds, active in calls:
        now += after
        endpoint.active = active
        adaptive(endpoint, answer(), None, seconds)
        assert 1 <= adaptive.limit <= most


def test_its_state_is_in_its_repr() -> None:
    told = Told()
    assert repr(Adaptive(lambda: 0.0)) == "<Adaptive limit=1 best=0 s measuring>"
    assert repr(told.adaptive) == "<Adaptive limit=1 best=0.1 s>"
