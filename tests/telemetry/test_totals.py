from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.metrics import Registry, Series
from gateway.telemetry.totals import Totals

DURATION = "gateway_upstream_duration_seconds"


def sums(totals: Totals) -> dict[Series, Sequence[float]]:
    return {total.series: total.sum() for total in totals.look()}


def test_what_comes_later_is_found_and_what_was_there_goes_on() -> None:
    one, other = Registry.private(), Registry.private()
    totals = Totals([one.segment, other.segment])
    assert sums(totals) == {}
    connections = Series("gauge", "gateway_connections")
    one.gauge("gateway_connections").set(1)
    assert sums(totals) == {connections: [1]}
    other.gauge("gateway_connections").set(2)
    one.gauge("gateway_connections").set(3)
    other.counter("gateway_connections_accepted_total").add(7)
    expected = {connections: [5], Series("counter", "gateway_connections_accepted_total"): [7]}
    assert sums(totals) == expected
    assert sums(totals) == expected


def test_a_successor_that_goes_on_in_the_same_segment_is_not_counted_twice() -> None:
    first = Registry.private()
    first.counter("gateway_connections_accepted_total").add(2)
    totals = Totals([first.segment])
    assert list(sums(totals).values()) == [[2]]
    Registry(first.segment).counter("gateway_connections_accepted_total").add(1)
    assert list(sums(totals).values()) == [[3]]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.integers(0, 9)), max_size=20), st.integers(0, 20)
)
def test_looking_in_between_changes_nothing(events: list[tuple[int, str, int]], at: int) -> None:
    registries = [Registry.private() for _ in range(3)]
    segments = [registry.segment for registry in registries]
    looked = Totals(segments)
    for number, (worker, backend, seconds) in enumerate(events):
        if number == at:
            looked.look()
        registries[worker].histogram(DURATION, (1.0, 5.0), backend=backend).observe(seconds)
    assert sums(looked) == sums(Totals(segments))
    assert sum(sum(cells[:-1]) for cells in sums(looked).values()) == len(events)
