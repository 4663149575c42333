from __future__ import annotations

import os

import pytest
from memory import growth
from processes import resident

MIB = 1 << 20


def test_memory_that_settles_has_not_grown() -> None:
    assert growth([10 * MIB, 40 * MIB, *[50 * MIB] * 6]) == {"growth": 0, "growth_mib": 0}


def test_memory_that_goes_on_growing_has() -> None:
    grown = growth([number * MIB for number in range(1, 9)])
    assert grown["growth_mib"] == 4
    assert grown["growth"] == pytest.approx(4 / 3.5)


def test_a_process_shares_some_of_its_memory() -> None:
    rss, pss = resident(os.getpid())
    assert rss >= pss > 0
