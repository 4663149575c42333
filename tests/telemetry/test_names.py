import re
from math import frexp
from pathlib import Path

import pytest

from gateway.telemetry.names import BOUNDS, METRICS, NATIVE

COUNTED = ("gateway_batch_size", "gateway_batch_requests")
"""Histograms of numbers, not of times."""


def test_names_follow_prometheus_conventions() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch("gateway_[a-z_]+", name)
        assert name.endswith("_total") == (metric.kind == "counter")
        assert metric.kind != "histogram" or name.endswith("_seconds") or name in COUNTED
        assert metric.help.endswith(".")


@pytest.mark.parametrize("bounds", BOUNDS.values())
def test_buckets_ascend_from_a_millisecond_to_ten_minutes(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))
    assert bounds[0] <= 0.001
    assert bounds[-2] < 600 <= bounds[-1]
    assert len(bounds) == 21


def test_native_buckets_are_the_powers_of_two_to_the_last_bit() -> None:
    assert {frexp(bound)[0] for bound in NATIVE} == {0.5}
    assert [frexp(bound)[1] for bound in NATIVE] == list(range(-9, 12))


def test_the_operations_page_has_every_metric() -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    for name, (kind, text, labels) in METRICS.items():
        assert (
            f"| `{name}` | {', '.join(f'`{label}`' for label in labels)} | {kind} | {text} |".replace("|  |", "| |")
            in page
        )
