from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.layers.quantile import ENOUGH, Latency


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_too_few_samples_tell_nothing() -> None:
    latency = Latency(Clock())
    for _ in range(ENOUGH - 1):
        latency.observe(1.0)
    assert latency.quantile(0.5) is None
    latency.observe(1.0)
    assert latency.quantile(0.5) == pytest.approx(1.0, rel=0.05)


@given(
    st.lists(st.floats(0.0001, 1500.0), min_size=ENOUGH, max_size=200),
    st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 1.0]),
)
def test_a_quantile_is_right_to_within_five_percent(samples: list[float], q: float) -> None:
    latency = Latency(Clock())
    for sample in samples:
        latency.observe(sample)
    exact = sorted(samples)[max(ceil(q * len(samples)) - 1, 0)]
    assert latency.quantile(q) == pytest.approx(exact, rel=0.0501)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9])
def test_what_is_too_short_to_measure_is_the_shortest(seconds: float) -> None:
    latency = Latency(Clock())
    for _ in range(ENOUGH):
        latency.observe(seconds)
    assert 0 < (latency.quantile(0.5) or 0) <= 0.0001


def test_what_is_beyond_all_buckets_is_the_longest() -> None:
    latency = Latency(Clock())
    for _ in range(ENOUGH):
        latency.observe(1e9)
    assert (latency.quantile(0.5) or 0) > 1500


@pytest.mark.parametrize(("later", "known"), [(29.9, True), (30.0, True), (59.9, True), (60.0, False), (1e6, False)])
def test_samples_are_forgotten_after_a_minute_when_no_more_come(later: float, known: bool) -> None:
    clock = Clock()
    latency = Latency(clock)
    for _ in range(ENOUGH):
        latency.observe(1.0)
    clock.now += later
    assert (latency.quantile(0.5) is not None) == known


def test_little_traffic_keeps_no_sample_longer() -> None:
    clock = Clock()
    latency = Latency(clock)
    for _ in range(ENOUGH):
        latency.observe(1.0)
    clock.now += 59.0
    latency.observe(1.0)
    clock.now += 1.0
    assert latency.quantile(0.5) is None


def test_it_follows_a_change_within_a_minute() -> None:
    clock = Clock()
    latency = Latency(clock)
    for number in range(1300):
        clock.now += 0.1
        latency.observe(1.0 if number < 650 else 0.1)
    assert latency.quantile(0.99) == pytest.approx(0.1, rel=0.05)


def test_a_quantile_asked_for_again_takes_a_twentieth_more_samples_into_account() -> None:
    latency = Latency(Clock())
    for _ in range(100):
        latency.observe(1.0)
    assert latency.quantile(1.0) == pytest.approx(1.0, rel=0.05)
    for number in range(5):
        assert latency.quantile(1.0) == pytest.approx(1.0, rel=0.05), number
        latency.observe(10.0)
    assert latency.quantile(1.0) == pytest.approx(10.0, rel=0.05)
