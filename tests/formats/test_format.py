from __future__ import annotations

from gateway.formats.format import REASONS, Mismatch, Unmergeable


def test_reasons_are_few_and_fit_for_a_label() -> None:
    assert len(set(REASONS)) == len(REASONS) < 20
    assert all(reason.replace("_", "").isalpha() and reason.islower() for reason in REASONS)


def test_failures_say_what_they_are() -> None:
    assert Unmergeable("shape").reason == str(Unmergeable("shape")) == "shape"
    assert Mismatch("3 rows came back for 4").detail == str(Mismatch("3 rows came back for 4"))
