from __future__ import annotations

from cases import SPLITTER
from throughput import Sample, counted


def sample(rate: float, core: float) -> Sample:
    return Sample(rate, 1e6 * core / rate, 1e6 * core / rate, core, 1.0, 2.0, 0)


def test_a_sample_without_its_core_is_left_out() -> None:
    quiet, noisy = sample(100, 0.99), sample(50, 0.6)
    assert counted([quiet, noisy]) == [quiet]
    assert counted([noisy]) == [noisy]


def test_figures_are_medians_of_what_counts_and_errors_of_all() -> None:
    outcome = SPLITTER._outcome({"gateway": [sample(100, 1), sample(300, 1), sample(7, 0.5)]}, missing=[])
    assert outcome.figures["gateway"]["requests_per_second"] == 200


def test_the_table_compares_medians_and_names_the_missing() -> None:
    samples = {"gateway": [sample(100, 1), sample(120, 1)], "haproxy": [sample(200, 1), sample(200, 1)]}
    outcome = SPLITTER._outcome(samples, missing=["nginx"])
    heads, gateway, _, nginx = outcome.rows
    row = dict(zip(heads, gateway, strict=True))
    assert row["x haproxy"] == "0.55 (0.50-0.60)"
    assert row["x floor"] == ""
    assert row["rounds"] == "2/2"
    assert nginx[:2] == ["nginx", "missing"]
    assert len(nginx) == len(heads)
    assert outcome.table().count("\n| ") == 5
