from __future__ import annotations

import random

from gateway.batching.rhythm import ALONE, RANDOM, SHARE, Rhythm

FIXED = 0.01


def in_step(clients: int, batches: int = 200) -> Rhythm:
    """Clients that come back within a millisecond of each answer, which all get at once."""
    rhythm, now = Rhythm(), 0.0
    for _ in range(batches):
        for n in range(clients):
            now += 0.001 / clients
            rhythm.arrived(now, n + 1)
        now += FIXED
        rhythm.finished(now, FIXED)
    return rhythm


def test_clients_in_step_are_waited_for_until_most_of_them_are_there() -> None:
    rhythm = in_step(8)
    assert rhythm.bursts > RANDOM
    assert rhythm.linger(1, 32, FIXED) == SHARE * FIXED
    assert rhythm.linger(8, 32, FIXED) == 0.0
    assert rhythm.linger(2, 2, FIXED) == 0.0


def test_nobody_waits_for_company_that_never_was() -> None:
    assert Rhythm().linger(1, 32, FIXED) == 0.0
    rhythm = in_step(1)
    assert rhythm.rows <= ALONE
    assert rhythm.linger(1, 32, FIXED) == 0.0


def test_requests_at_random_are_not_waited_for() -> None:
    dice, rhythm, now, done = random.Random(7), Rhythm(), 0.0, FIXED
    waited = 0
    for _ in range(5000):
        now += dice.expovariate(500)
        while done < now:
            rhythm.finished(done, FIXED)
            done += FIXED
        rhythm.arrived(now, 5)
        waited += rhythm.linger(1, 32, FIXED) > 0
    assert waited < 100


def test_a_night_without_requests_is_no_rhythm() -> None:
    rhythm = Rhythm()
    rhythm.arrived(0.0, 1)
    rhythm.arrived(36000.0, 1)
    rhythm.finished(36000.01, FIXED)
    rhythm.finished(36000.02, FIXED)
    assert rhythm.bursts < 1.0
    assert repr(rhythm) == "<Rhythm rows=1 bursts=0.9>"
