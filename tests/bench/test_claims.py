from __future__ import annotations

import pytest
from cases import CASES
from claims import CLAIMS, Claim, verdicts

AT_LEAST = Claim("a over b", ("case", "a", "rate"), at_least=0.5, over=("case", "b", "rate"))
AT_MOST = Claim("a", ("case", "a", "rate"), at_most=10, unit=" s")


def measured(a: float, b: float) -> dict[str, dict[str, dict[str, float]]]:
    return {"case": {"a": {"rate": a}, "b": {"rate": b}}}


@pytest.mark.parametrize(("a", "kept"), [(5, True), (6, True), (4.9, False)])
def test_a_ratio_of_two_figures(a: float, kept: bool) -> None:
    value = AT_LEAST.value(measured(a, 10))
    assert value is not None
    assert AT_LEAST.kept(value) is kept


def test_a_figure_of_its_own() -> None:
    assert AT_MOST.value(measured(10, 1)) == 10
    assert AT_MOST.kept(10)
    assert not AT_MOST.kept(10.1)
    assert AT_MOST.bound == "<= 10 s"


@pytest.mark.parametrize("b", [0, -0.2])
def test_nothing_is_said_of_a_ratio_to_noise(b: float) -> None:
    assert AT_LEAST.value(measured(1, b)) is None


def test_what_was_not_measured_is_neither_kept_nor_broken() -> None:
    found = verdicts({})
    assert [verdict.kept for verdict in found] == [None] * len(CLAIMS)
    assert all(verdict.line().endswith("not measured") for verdict in found)


def test_every_claim_is_about_a_case_that_exists() -> None:
    assert {claim.figure[0] for claim in CLAIMS} <= {case.name for case in CASES}


def test_a_verdict_shows_its_figure() -> None:
    rates = {"gateway": {"requests_per_second": 50.0}, "haproxy": {"requests_per_second": 100.0}}
    lines = [verdict.line() for verdict in verdicts({"pass-through-64": rates})]
    assert lines[0] == "pass-through, 64 connections: x haproxy >= 0.55: NO (0.5)"
