from __future__ import annotations

from gateway.batching.kind import REST, STRIKES, WITHIN, Kind


def test_nothing_is_merged_after_so_many_answers_that_do_not_add_up() -> None:
    kind = Kind()
    assert [kind.strike(1.0 + n) for n in range(STRIKES)] == [False, False, True]
    assert kind.rest_until == STRIKES + REST


def test_that_is_said_once_however_many_calls_were_under_way() -> None:
    kind = Kind()
    assert [kind.strike(1.0) for _ in range(STRIKES + 3)].count(True) == 1
    assert kind.rest_until == 1.0 + REST


def test_one_now_and_then_does_no_harm() -> None:
    kind = Kind()
    assert not any(kind.strike(n * WITHIN / (STRIKES - 1)) for n in range(20))


def test_after_the_rest_it_is_given_as_many_chances_again() -> None:
    kind = Kind()
    for _ in range(STRIKES):
        kind.strike(0.0)
    assert [kind.strike(REST + n) for n in range(STRIKES)] == [False, False, True]


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    kind = Kind()
    kind.rest(10.0)
    kind.rest(5.0)
    assert kind.rest_until == 10.0
