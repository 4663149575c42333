from __future__ import annotations

import pytest

from gateway.batching.lane import LEAST_REST, LONGEST_REST, Lane
from tests.support.toy import Model, Toy


def test_rests_grow_from_one_answer_that_does_not_add_up_to_the_next() -> None:
    lane, now = Lane(Model(), Toy(), 0.0), 0.0
    rests = []
    for _ in range(8):
        lane.strike(now)
        rests.append(lane.rest_until - now)
        now = lane.rest_until
    assert rests[:3] == pytest.approx([LEAST_REST, 2 * LEAST_REST, 4 * LEAST_REST])
    assert rests[-1] == LONGEST_REST


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    lane = Lane(Model(), Toy(), 0.0)
    lane.rest(10.0)
    lane.rest(5.0)
    assert lane.rest_until == 10.0


def test_a_lane_of_nobody_is_idle() -> None:
    lane = Lane(Model(), Toy(), 0.0)
    assert lane.idle
    assert lane.head() is None
    assert repr(lane) == "<Lane waiting=0 running=0 <Rhythm rows=1 bursts=1>>"
