from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.layers.budget import Budget


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: float = 1000.5) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def taken(budget: Budget, tries: int = 1000) -> int:
    return sum(budget.take() for _ in range(tries))


def test_a_share_of_the_requests_and_the_least_for_each_second() -> None:
    budget = Budget(20, 3, Clock())
    for _ in range(50):
        budget.noted += 1
    assert taken(budget) == 10 + 30


def test_nothing_is_allowed_of_nothing() -> None:
    budget = Budget(100, 0, Clock())
    assert not budget.take()
    budget.noted += 1
    assert taken(budget) == 1
    assert taken(Budget(0, 0, Clock())) == 0


@pytest.mark.parametrize(("later", "allowed"), [(0.4, 0), (9.4, 0), (9.5, 20), (1e6, 20)])
def test_what_was_taken_counts_for_ten_seconds(later: float, allowed: int) -> None:
    clock = Clock()
    budget = Budget(20, 2, clock)
    assert taken(budget) == 20
    clock.now += later
    assert taken(budget) == allowed


@pytest.mark.parametrize(("later", "allowed"), [(9.4, 20), (9.5, 0)])
def test_requests_count_for_ten_seconds(later: float, allowed: int) -> None:
    clock = Clock()
    budget = Budget(20, 0, clock)
    for _ in range(100):
        budget.noted += 1
    assert budget.take()
    clock.now += later
    assert taken(budget) == max(allowed - 1, 0)


def test_requests_that_came_since_the_last_failure_are_taken_to_have_come_evenly() -> None:
    clock = Clock()
    budget = Budget(10, 0, clock)
    for _ in range(1000):
        budget.noted += 1
    clock.now += 99
    assert taken(budget) == 10  # of 100 requests in the last 10 of 100 seconds


def test_it_shows_what_is_used() -> None:
    budget = Budget(20, 1, Clock())
    budget.take()
    assert repr(budget) == "<Budget taken=1 of 10>"


@given(
    percent=st.integers(0, 100),
    least=st.integers(0, 20),
    pauses=st.lists(st.tuples(st.floats(0, 15), st.integers(0, 200)), max_size=40),
)
def test_with_every_call_failing_the_attempts_stay_within_the_share_and_the_least(
    percent: int, least: int, pauses: list[tuple[float, int]]
) -> None:
    clock = Clock()
    budget = Budget(percent, least, clock)
    requests = repeated = 0
    for pause, arriving in pauses:
        clock.now += pause
        for _ in range(arriving):
            requests += 1
            budget.noted += 1
            while budget.take():
                repeated += 1
    seconds = int(clock.now) - 1000 + 1
    windows = -(-seconds // 10)
    assert repeated <= percent / 100 * requests + least * 10 * windows + 1e-6


def test_a_retry_for_each_of_a_steady_thousand_a_second_is_a_fifth_of_them() -> None:
    clock = Clock(0.0)
    budget = Budget(20, 10, clock)
    repeated = 0
    for number in range(60_000):
        clock.now = number / 1000
        budget.noted += 1
        repeated += budget.take()
    assert 60_000 * 0.2 * 0.9 < repeated <= 60_000 * 0.2 + 10 * 60
