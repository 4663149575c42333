from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.cost import ENOUGH, Cost


def test_nothing_is_expected_before_anything_was_seen() -> None:
    assert Cost().of(10) == 0.0


@given(st.floats(0.0001, 1.0), st.floats(0.0, 0.1), st.lists(st.integers(1, 64), min_size=ENOUGH, max_size=40))
def test_a_line_is_found(fixed: float, per_row: float, sizes: list[int]) -> None:
    cost = Cost()
    for rows in [1, *sizes, 33]:
        cost.observe(rows, fixed + per_row * rows)
    assert cost.of(16) == pytest.approx(fixed + per_row * 16, rel=1e-3, abs=1e-6)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0.0001, 10.0)), min_size=1, max_size=60))
def test_no_part_of_a_cost_is_negative_or_more_than_was_ever_seen(calls: list[tuple[int, float]]) -> None:
    cost = Cost()
    for rows, seconds in calls:
        cost.observe(rows, seconds)
        assert cost.fixed >= 0
        assert cost.per_row >= 0
    assert cost.fixed <= max(seconds for _, seconds in calls) * 1.001


def test_calls_of_one_size_show_the_shortest_of_late() -> None:
    cost = Cost()
    for seconds in (0.5, 0.2, 0.4):
        cost.observe(1, seconds)
    assert (cost.fixed, cost.per_row) == (pytest.approx(0.202), 0.0)
    for _ in range(1000):
        cost.observe(1, 3.0)
    assert cost.fixed == 3.0


def test_a_backend_that_changes_is_learned_anew() -> None:
    cost = Cost()
    for n in range(400):
        cost.observe(n % 8 + 1, 0.01 + 0.001 * (n % 8 + 1))
    for n in range(400):
        cost.observe(n % 8 + 1, 0.05)
    assert cost.of(4) == pytest.approx(0.05, rel=0.01)
    assert repr(cost).startswith("<Cost 50 ms + ")
