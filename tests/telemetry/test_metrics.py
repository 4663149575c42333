import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.metrics import Registry, Series, read, zero_gauges
from gateway.telemetry.names import BUCKETS
from gateway.telemetry.segment import Segment

DURATION = "gateway_upstream_duration_seconds"


def cells_of(segment: Segment) -> dict[Series, list[float]]:
    return {series: list(cells) for series, cells in read(segment)}


def test_durations_have_the_bounds_that_were_chosen() -> None:
    registry = Registry.private()
    registry.duration(DURATION, backend="a")
    registry.buckets = (1.0, 2.0)
    registry.duration(DURATION, backend="b").observe(1.5)
    first, second = cells_of(registry.segment).items()
    assert first == (Series("histogram", DURATION, ("a",), BUCKETS), [0.0] * (len(BUCKETS) + 2))
    assert second == (Series("histogram", DURATION, ("b",), (1.0, 2.0)), [0, 1, 0, 1.5])


def test_exemplars_know_their_histogram() -> None:
    registry = Registry.private()
    registry.exemplars(DURATION, (1.0,), backend="b")
    ((series, cells),) = read(registry.segment)
    assert series.histogram == Series("histogram", DURATION, ("b",), (1.0,))
    assert len(cells) == series.width
    with pytest.raises(ValueError, match="is a gauge"):
        registry.exemplars("gateway_connections", (1.0,))


def test_a_counter_counts() -> None:
    counter = Registry.private().counter("gateway_requests_total", graph="g", code="200", outcome="ok")
    counter.add()
    counter.add(2.5)
    assert counter.value == 3.5


def test_a_gauge_goes_up_and_down() -> None:
    gauge = Registry.private().gauge("gateway_connections")
    gauge.add(3)
    gauge.add(-1)
    assert gauge.value == 2
    gauge.set(7)
    assert gauge.value == 7


def test_an_observation_falls_into_the_first_bucket_that_is_not_below_it() -> None:
    registry = Registry.private()
    histogram = registry.histogram(DURATION, (0.1, 1.0), backend="b")
    for seconds in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(seconds)
    ((_, cells),) = read(registry.segment)
    assert list(cells) == [2, 1, 1, pytest.approx(3.65)]


@given(st.lists(st.floats(0, 1000)))
def test_a_histogram_loses_nothing(observations: list[float]) -> None:
    registry = Registry(Segment.private(1 << 12))
    histogram = registry.histogram(DURATION, (0.1, 1.0, 10.0), backend="b")
    for seconds in observations:
        histogram.observe(seconds)
    ((_, cells),) = read(registry.segment)
    assert sum(cells[:-1]) == len(observations)
    assert cells[-1] == pytest.approx(sum(observations))


def test_the_same_name_and_labels_mean_the_same_cells() -> None:
    registry = Registry.private()
    registry.counter("gateway_upstream_requests_total", backend="b", code="200").add()
    again = registry.counter("gateway_upstream_requests_total", code="200", backend="b")
    other = registry.counter("gateway_upstream_requests_total", code="503", backend="b")
    assert (again.value, other.value) == (1, 0)


def test_a_successor_counts_on_and_starts_its_gauges_at_zero() -> None:
    segment = Segment.private()
    first = Registry(segment)
    first.counter("gateway_connections_accepted_total").add(5)
    first.gauge("gateway_connections").set(5)
    second = Registry(segment)
    assert second.counter("gateway_connections_accepted_total").value == 5
    assert second.gauge("gateway_connections").value == 0
    second.counter("gateway_connections_accepted_total").add()
    assert cells_of(segment)[Series("counter", "gateway_connections_accepted_total")] == [6]


def test_zero_gauges_leaves_counters_alone() -> None:
    registry = Registry.private()
    registry.counter("gateway_connections_accepted_total").add(5)
    registry.gauge("gateway_connections").add(5)
    zero_gauges(registry.segment)
    assert list(cells_of(registry.segment).values()) == [[5], [0]]


def test_a_full_segment_is_logged_once_and_nothing_fails(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(Segment.private(64))
    with caplog.at_level(logging.ERROR):
        counters = [registry.counter("gateway_bad_requests_total", code=str(code)) for code in range(400, 420)]
    for counter in counters:
        counter.add()
    assert [counter.value for counter in counters] == [1.0] * 20
    assert [record.getMessage() for record in caplog.records] == [
        "the metrics segment is full: gateway_bad_requests_total and all later series are not exported"
    ]
    assert len(cells_of(registry.segment)) < 20


@pytest.mark.parametrize("labels", [{}, {"backend": "b"}, {"backend": "b", "code": "1", "more": "x"}])
def test_labels_other_than_the_tables_are_a_bug(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is a counter with labels"):
        Registry.private().counter("gateway_upstream_requests_total", **labels)


def test_a_kind_other_than_the_tables_is_a_bug() -> None:
    with pytest.raises(ValueError, match="is a counter"):
        Registry.private().gauge("gateway_connections_accepted_total")
