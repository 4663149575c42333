from gateway.batching.metrics import BYPASSED, DROPPED, Counted
from gateway.telemetry.metrics import Registry, read
from gateway.telemetry.names import METRICS


def test_every_series_is_there_before_anything_happens() -> None:
    registry = Registry.private()
    Counted(registry, "b")
    found = [series for series, _ in read(registry.segment)]
    assert {series.name for series in found} == {name for name in METRICS if name.startswith("gateway_batch_")}
    assert all(series.labels[0] == "b" for series in found)
    reasons = {series.name: set[str]() for series in found}
    for series in found:
        reasons[series.name].update(series.labels[1:])
    assert reasons["gateway_batch_bypassed_total"] == set(BYPASSED)
    assert reasons["gateway_batch_dropped_total"] == set(DROPPED)
