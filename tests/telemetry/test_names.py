import re
from pathlib import Path

from gateway.telemetry.names import BUCKETS, METRICS

COUNTED = ("gateway_batch_size", "gateway_batch_requests")
"""Histograms of numbers, not of times."""


def test_names_follow_prometheus_conventions() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch("gateway_[a-z_]+", name)
        assert name.endswith("_total") == (metric.kind == "counter")
        assert metric.kind != "histogram" or name.endswith("_seconds") or name in COUNTED
        assert metric.help.endswith(".")


def test_buckets_ascend() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))


def test_the_operations_page_has_every_metric() -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    for name, (kind, text, labels) in METRICS.items():
        assert (
            f"| `{name}` | {', '.join(f'`{label}`' for label in labels)} | {kind} | {text} |".replace("|  |", "| |")
            in page
        )
