from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import backend as config
from gateway.errors import UpstreamReset
from gateway.http.origin import Origin
from gateway.message import Request
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.pick import (
    DECAY,
    PENALTY,
    ConsistentHash,
    LeastRequest,
    PeakEWMA,
    Picker,
    Random,
    RoundRobin,
    SlowStart,
    balance,
    cookie_key,
    header_key,
)
from tests.support.service import MockService, answer, ask

NOTHING = ask()


def endpoints(*active: int) -> list[Endpoint]:
    found = [Endpoint(Origin(f"h{index}", 80), MockService()) for index in range(len(active))]
    for endpoint, calls in zip(found, active, strict=True):
        endpoint.active = calls
    return found


def draws(*values: float) -> Callable[[], float]:
    """These, in turn; one more is an error."""
    following: Iterator[float] = iter(values)
    return lambda: next(following)


def shares(picker: Picker, among: Sequence[Endpoint], times: int = 6000) -> list[float]:
    found = Counter(among.index(picker.pick(among, NOTHING)) for _ in range(times))
    return [found[index] / times for index in range(len(among))]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


ANY: list[Callable[[], Picker]] = [
    LeastRequest,
    RoundRobin,
    Random,
    lambda: PeakEWMA(Clock()),
    lambda: ConsistentHash(header_key("x-user")),
    lambda: SlowStart(Random(), 10.0, Clock()),
]


@pytest.mark.parametrize("make", ANY)
@given(active=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_every_picker_takes_one_of_them(make: Callable[[], Picker], active: list[int]) -> None:
    among = endpoints(*active)
    assert make().pick(among, NOTHING) in among


@pytest.mark.parametrize("make", ANY)
def test_equals_get_equal_shares(make: Callable[[], Picker]) -> None:
    for count in (2, 3, 5):
        assert shares(make(), endpoints(*[0] * count)) == pytest.approx([1 / count] * count, abs=0.05)


def test_round_robin_takes_turns_from_anywhere() -> None:
    firsts = set()
    for _ in range(50):
        among = endpoints(0, 0, 0)
        picker = RoundRobin()
        first = [picker.pick(among, NOTHING) for _ in range(3)]
        assert set(first) == set(among)
        assert [picker.pick(among, NOTHING) for _ in range(3)] == first
        firsts.add(among.index(first[0]))
    assert firsts == {0, 1, 2}


def test_turns_stay_even_where_some_are_left_out_now_and_then() -> None:
    among = endpoints(0, 0, 0, 0)
    picker = RoundRobin()
    found = Counter(picker.pick(among[index % 2 :], NOTHING) for index in range(4000))
    assert max(found.values()) - min(found.values()) <= 2


def test_another_round_robin_goes_on_where_the_last_was() -> None:
    among = endpoints(0, 0, 0)
    before = [RoundRobin().pick(among, NOTHING) for _ in range(3)]
    assert [RoundRobin().pick(among, NOTHING) for _ in range(3)] == before


def test_a_new_endpoint_gets_its_turn_and_not_all_those_it_missed() -> None:
    old = endpoints(0, 0)
    picker = RoundRobin()
    for _ in range(100):
        picker.pick(old, NOTHING)
    (new,) = endpoints(0)
    assert [picker.pick([*old, new], NOTHING) for _ in range(6)].count(new) == 2


def test_of_two_the_one_with_fewer_calls_is_taken_without_a_draw() -> None:
    one, other = among = endpoints(3, 2)
    assert LeastRequest(draws()).pick(among, NOTHING) is other
    assert LeastRequest(draws()).pick([one], NOTHING) is one
    other.active = 3
    assert LeastRequest(draws(0.4)).pick(among, NOTHING) is one
    assert LeastRequest(draws(0.6)).pick(among, NOTHING) is other


def test_least_request_never_takes_the_busiest_and_draws_two_different_ones() -> None:
    assert shares(LeastRequest(), endpoints(1, 0, 9, 1))[2] == 0
    assert shares(LeastRequest(), endpoints(5, 0, 5))[1] == pytest.approx(2 / 3, abs=0.05)


def test_least_request_keeps_the_load_even() -> None:
    among = endpoints(*[0] * 10)
    picker = LeastRequest()
    for _ in range(1000):
        picker.pick(among, NOTHING).active += 1
    assert max(one.active for one in among) - min(one.active for one in among) <= 12


def test_peak_ewma_rises_at_once_and_falls_slowly() -> None:
    clock = Clock()
    picker = PeakEWMA(clock)
    (one,) = endpoints(0)
    picker(one, answer(), None, 0.1)
    assert one.latency == pytest.approx(0.1)
    picker(one, answer(), None, 2.0)
    assert one.latency == 2.0
    clock.now += 1
    picker(one, answer(), None, 0.1)
    assert 1.7 < one.latency < 2.0
    clock.now += 5 * DECAY
    picker(one, answer(), None, 0.1)
    assert one.latency == pytest.approx(0.1, rel=0.2)


def test_peak_ewma_weighs_latency_by_the_calls_under_way() -> None:
    clock = Clock()
    picker = PeakEWMA(clock, draws())
    fast, slow = among = endpoints(0, 0)
    picker(fast, answer(), None, 0.1)
    picker(slow, answer(), None, 0.35)
    fast.active = 2
    assert picker.pick(among, NOTHING) is fast
    fast.active = 3
    assert picker.pick(among, NOTHING) is slow


def test_failing_fast_does_not_attract() -> None:
    for status in (429, 503, None):
        picker = PeakEWMA(Clock(), draws())
        failing, slow = among = endpoints(0, 0)
        picker(failing, None if status is None else answer(status=status), UpstreamReset(), 0.001)
        picker(slow, answer(status=500), None, 4.0)
        assert failing.latency == pytest.approx(PENALTY + 0.001)
        assert picker.pick(among, NOTHING) is slow


def test_an_endpoint_that_was_slow_gets_another_chance() -> None:
    clock = Clock()
    picker = PeakEWMA(clock, draws())
    slow, fast = among = endpoints(0, 0)
    picker(slow, None, UpstreamReset(), 30.0)
    for _ in range(10 * int(DECAY)):
        clock.now += 1
        picker(fast, answer(), None, 0.1)
        if picker.pick(among, NOTHING) is slow:
            break
    assert 40 < clock.now - 100 < 80


def test_one_call_finds_out_about_a_new_endpoint_and_not_all_of_them() -> None:
    picker = PeakEWMA(Clock(), draws())
    known, new = among = endpoints(4, 0)
    picker(known, answer(), None, 0.1)
    assert picker.pick(among, NOTHING) is new
    new.active = 1
    assert picker.pick(among, NOTHING) is known


def user(name: str) -> Request:
    return ask(headers=[(b"x-user", name.encode())])


def test_the_same_key_goes_to_the_same_endpoint_and_only_the_keys_of_one_that_goes_move() -> None:
    picker = ConsistentHash(header_key("X-User"), draws())
    among = endpoints(0, 0, 0, 0)
    before = {name: picker.pick(among, user(name)) for name in map(str, range(2000))}
    assert all(picker.pick(among[::-1], user(name)) is chosen for name, chosen in before.items())
    for chosen in among:
        assert 400 < sum(one is chosen for one in before.values()) < 600
    left = among[1:]
    for name, chosen in before.items():
        assert picker.pick(left, user(name)) is chosen or chosen is among[0]


def test_a_key_may_be_longer_than_the_hash_function_takes() -> None:
    picker = ConsistentHash(header_key("x-user"), draws())
    among = endpoints(0, 0, 0, 0)
    stem = "x" * 200
    assert len({picker.pick(among, user(f"{stem}{index}")) for index in range(100)}) == 4


def test_another_process_finds_the_same_endpoints() -> None:
    code = (
        "from gateway.upstream.pick import ConsistentHash; from gateway.upstream.endpoint import Endpoint\n"
        "from gateway.http.origin import Origin; from gateway.message import Request\n"
        "among = [Endpoint(Origin(f'h{i}', 80), None) for i in range(4)]\n"
        "picker = ConsistentHash(lambda request: request.body)\n"
        "print(*(among.index(picker.pick(among, Request(b'', b'', [], b'%d' % i))) for i in range(20)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    among = endpoints(0, 0, 0, 0)
    picker = ConsistentHash(lambda request: request.body)
    assert [int(word) for word in run.stdout.split()] == [
        among.index(picker.pick(among, ask(b"%d" % index))) for index in range(20)
    ]


def test_addresses_of_one_name_are_different_endpoints() -> None:
    among = [Endpoint(Origin("h", 80), MockService(), address) for address in ("10.0.0.1", "10.0.0.2")]
    picker = ConsistentHash(header_key("x-user"))
    assert {picker.pick(among, user(str(index))) for index in range(50)} == set(among)


def test_a_request_without_a_key_goes_anywhere() -> None:
    among = endpoints(0, 0, 0)
    assert shares(ConsistentHash(header_key("x-user")), among) == pytest.approx([1 / 3] * 3, abs=0.05)


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        ([b"user=a"], b"a"),
        ([b"x=1; user=a=b ;y=2"], b"a=b"),
        ([b"x=1", b"user=c"], b"c"),
        ([b"user="], None),
        ([b"user"], None),
        ([b"User=a"], None),
        ([b"xuser=a"], None),
        ([], None),
    ],
)
def test_a_cookie_as_the_key(cookies: list[bytes], found: bytes | None) -> None:
    request = ask(headers=[(b"accept", b"user=x"), *((b"cookie", cookie) for cookie in cookies)])
    assert cookie_key("user")(request) == found


def test_a_header_as_the_key() -> None:
    assert header_key("X-User")(user("a")) == b"a"
    assert header_key("X-User")(user("")) is None
    assert header_key("X-User")(ask()) is None


@pytest.mark.parametrize(
    ("seconds", "weight"), [(0, 0.1), (0.5, 0.1), (2.5, 0.25), (5, 0.5), (10, 1), (99, 1), (inf, 1)]
)
def test_the_weight_of_a_new_endpoint_grows_with_time(seconds: float, weight: float) -> None:
    (one,) = endpoints(0)
    one.since = 100 - seconds
    assert SlowStart(Random(), 10.0, Clock()).weight(one, 100.0) == pytest.approx(weight)


@pytest.mark.parametrize("make", [LeastRequest, Random, lambda: PeakEWMA(Clock())])
@pytest.mark.parametrize("count", [2, 4])
def test_a_new_endpoint_gets_a_part_of_its_share(make: Callable[[], Picker], count: int) -> None:
    among = endpoints(*[0] * count)
    among[0].since = 96.0  # weight 0.4
    found = shares(SlowStart(make(), 10.0, Clock()), among)
    assert found[0] == pytest.approx(0.4 / count, abs=0.04)
    assert found[1] == pytest.approx((1 - 0.4 / count) / (count - 1), abs=0.05)


def test_a_new_endpoint_lets_a_part_of_its_turns_pass() -> None:
    among = endpoints(0, 0, 0)
    among[0].since = 96.0
    found = shares(SlowStart(RoundRobin(), 10.0, Clock()), among)
    assert found == pytest.approx([0.4 / 2.4, 1 / 2.4, 1 / 2.4], abs=0.02)


def test_a_new_endpoint_that_is_idle_is_not_flooded() -> None:
    among = endpoints(9, 0)
    among[1].since = 96.0
    assert shares(SlowStart(LeastRequest(), 10.0, Clock()), among)[1] == pytest.approx(0.4, abs=0.04)


def test_where_all_are_new_they_share_alike_and_a_lone_one_gets_everything() -> None:
    among = endpoints(0, 0)
    among[0].since = among[1].since = 99.0
    picker = SlowStart(Random(random.Random(7).random), 10.0, Clock())
    assert shares(picker, among) == pytest.approx([0.5, 0.5], abs=0.05)
    assert picker.pick(among[:1], NOTHING) is among[0]


@pytest.mark.parametrize(
    ("kind", "picker", "watches"),
    [
        ("LeastRequest", LeastRequest, 0),
        ("RoundRobin", RoundRobin, 0),
        ("Random", Random, 0),
        ("PeakEWMA", PeakEWMA, 1),
        ("ConsistentHash", ConsistentHash, 0),
    ],
)
def test_each_type_has_its_picker(kind: str, picker: type, watches: int) -> None:
    plain = config.LoadBalancer(type=kind)  # type: ignore[arg-type]
    slow = config.LoadBalancer(type=kind, slow_start=5.0)  # type: ignore[arg-type]
    found, told = balance(plain, header_key("x"), Clock())
    assert type(found) is picker
    assert list(told) == [found] * watches
    slowly, told = balance(slow, header_key("x"), Clock())
    if kind == "ConsistentHash":
        assert type(slowly) is ConsistentHash
    else:
        assert isinstance(slowly, SlowStart)
        assert list(told) == [slowly.inner] * watches


def test_draws_at_their_bounds_stay_inside() -> None:
    last = 1 - 2**-53
    for count in range(1, 9):
        among = endpoints(*[0] * count)
        for values in ((0.0,), (last,), (0.0, last), (last, 0.0)):
            turns = cycle(values)
            for picker in (Random(lambda turns=turns: next(turns)), LeastRequest(lambda turns=turns: next(turns))):  # type: ignore[misc]
                assert picker.pick(among, NOTHING) in among
