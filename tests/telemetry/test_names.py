import re

from gateway.telemetry.names import BUCKETS, METRICS


def test_names_follow_prometheus_conventions() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch("gateway_[a-z_]+", name)
        assert name.endswith("_total") == (metric.kind == "counter")
        assert metric.kind != "histogram" or name.endswith("_seconds")
        assert metric.help.endswith(".")


def test_buckets_ascend() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))
