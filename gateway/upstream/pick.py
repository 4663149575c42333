"""Which endpoint gets the next call: one small class for each ``loadBalancer.type``.

A picker is asked only about endpoints that may take the call, and knows nothing of health, limits or retries. It keeps
nothing about an endpoint that the endpoint does not keep itself, so that they may come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from math import exp, inf
from operator import attrgetter
from random import random
from typing import Final, Protocol

from gateway.config.backend import LoadBalancer
from gateway.errors import GatewayError
from gateway.http.origin import Origin
from gateway.message import Request, Response, header

from .endpoint import Endpoint, Watch

Clock = Callable[[], float]
"""Seconds."""

Draw = Callable[[], float]
"""Random, from [0, 1)."""

Key = Callable[[Request], bytes | None]
"""Finds what makes requests belong together; None where a request has nothing of the kind. It never raises."""

DECAY: Final = 10.0
"""Seconds in which a latency seen by PeakEWMA loses all but 1/e of its weight."""

PENALTY: Final = 5.0
"""Seconds that a failure counts for on top: failing fast must not attract."""

MIN_WEIGHT: Final = 0.1
"""The share of its full share that an endpoint gets at the very start of its slow start, as with Envoy."""


class Picker(Protocol):
    """Chooses one of ``among``, which is never empty."""

    def pick(self, among: Sequence[Endpoint], request: Request, /) -> Endpoint: ...


class Random:
    """Any of them."""

    def __init__(self, draw: Draw = random) -> None:
        self._draw = draw

    def pick(self, among: Sequence[Endpoint], request: Request) -> Endpoint:
        return among[int(self._draw() * len(among))]


_turn = attrgetter("turn")
_turns = count(1)  # for all pickers: the one that a reload makes goes on where the old one was


class RoundRobin:
    """The one whose last turn was longest ago; so the turns stay even where some are left out now and then."""

    def pick(self, among: Sequence[Endpoint], request: Request) -> Endpoint:
        endpoint = min(among, key=_turn)
        endpoint.turn = next(_turns)
        return endpoint


def _two(among: Sequence[Endpoint], draw: Draw) -> tuple[Endpoint, Endpoint]:
    """Two different ones of three or more."""
    one = int(draw() * len(among))
    other = int(draw() * (len(among) - 1))
    return among[one], among[other + (other >= one)]


class LeastRequest:
    """Of two drawn at random, the one with fewer calls under way ("the power of two choices", Mitzenmacher 2001)."""

    def __init__(self, draw: Draw = random) -> None:
        self._draw = draw

    def pick(self, among: Sequence[Endpoint], request: Request) -> Endpoint:
        one, other = (among[0], among[-1]) if len(among) <= 2 else _two(among, self._draw)
        if one.active != other.active:
            return one if one.active < other.active else other
        return one if one is other or self._draw() < 0.5 else other


class PeakEWMA:
    """Of two drawn at random, the one that should answer sooner: latency of late, times the calls it has and this one.

    The average rises to a higher latency at once and falls slowly, over DECAY. It is the Watch that keeps it, too.
    """

    def __init__(self, clock: Clock, draw: Draw = random) -> None:
        self._clock = clock
        self._draw = draw

    def pick(self, among: Sequence[Endpoint], request: Request) -> Endpoint:
        one, other = (among[0], among[-1]) if len(among) <= 2 else _two(among, self._draw)
        now = self._clock()
        cost, others = self._cost(one, now), self._cost(other, now)
        if cost != others:
            return one if cost < others else other
        return one if one is other or self._draw() < 0.5 else other

    def _cost(self, endpoint: Endpoint, now: float) -> float:
        if endpoint.measured == -inf:  # one call finds out; till it has, the others had better go elsewhere
            return PENALTY * endpoint.active
        return self._latency(endpoint, now) * (endpoint.active + 1)

    def _latency(self, endpoint: Endpoint, now: float) -> float:
        """It fades while nothing is heard of the endpoint, so that one that was slow gets another chance."""
        return endpoint.latency * exp((endpoint.measured - now) / DECAY)

    def __call__(self, endpoint: Endpoint, answer: Response | None, error: GatewayError | None, seconds: float) -> None:
        if answer is None or answer.status in (429, 503):
            seconds += PENALTY
        now = self._clock()
        if seconds < endpoint.latency:
            weight = exp((endpoint.measured - now) / DECAY)
            seconds += (endpoint.latency - seconds) * weight
        endpoint.latency, endpoint.measured = seconds, now


class ConsistentHash:
    """The same endpoint for the same key; any for a request without one. In every worker, and after every restart.

    Rendezvous hashing (Thaler and Ravishankar 1998): when an endpoint goes, only its own keys move.
    """

    def __init__(self, key: Key, draw: Draw = random) -> None:
        self._key = key
        self._draw = draw

    def pick(self, among: Sequence[Endpoint], request: Request) -> Endpoint:
        key = self._key(request)
        if key is None:
            return among[int(self._draw() * len(among))]
        if len(key) > 64:  # what blake2b takes for a key
            key = blake2b(key).digest()
        return max(among, key=lambda one: blake2b(_identity(one.origin, one.address), digest_size=8, key=key).digest())


@lru_cache(4096)
def _identity(origin: Origin, address: str) -> bytes:
    return f"{origin} {address}".encode()


class SlowStart:
    """Around any picker: an endpoint that became usable less than ``window`` seconds ago gets a part of its share.

    The part is Envoy's with aggression 1: the time since, divided by the window, at least MIN_WEIGHT. Where all of them
    are new, what counts is how new they are in comparison.
    """

    def __init__(self, inner: Picker, window: float, clock: Clock, draw: Draw = random) -> None:
        self.inner = inner
        self._window = window
        self._clock = clock
        self._draw = draw

    def pick(self, among: Sequence[Endpoint], request: Request) -> Endpoint:
        now = self._clock()
        while True:
            endpoint = self.inner.pick(among, request)
            weight = self.weight(endpoint, now)
            if weight == 1.0 or self._draw() * max(self.weight(one, now) for one in among) < weight:
                return endpoint
            among = [one for one in among if one is not endpoint]

    def weight(self, endpoint: Endpoint, now: float) -> float:
        """From MIN_WEIGHT to 1.0."""
        return min(max((now - endpoint.since) / self._window, MIN_WEIGHT), 1.0)


def balance(config: LoadBalancer, key: Key, clock: Clock) -> tuple[Picker, tuple[Watch, ...]]:
    """The picker that ``config`` asks for, and who must be told of the calls for it to work.

    ``key`` serves ConsistentHash only, to which a slow start does not apply: its promise is that nothing moves.
    ``clock`` is the loop's.
    """
    if config.type == "ConsistentHash":
        return ConsistentHash(key), ()
    peak = PeakEWMA(clock)
    pickers: dict[str, Picker] = {
        "LeastRequest": LeastRequest(),
        "RoundRobin": RoundRobin(),
        "Random": Random(),
        "PeakEWMA": peak,
    }
    picker = pickers[config.type]
    watches = (peak,) if picker is peak else ()
    return (SlowStart(picker, config.slow_start, clock) if config.slow_start else picker), watches


def header_key(name: str) -> Key:
    """The value of a header; an empty one is none."""
    wanted = name.lower().encode()
    return lambda request: header(request.headers, wanted) or None


def cookie_key(name: str) -> Key:
    """The value of a cookie (RFC 6265 section 5.4); an empty one is none."""
    wanted = name.encode()

    def key(request: Request) -> bytes | None:
        for field, value in request.headers:
            if field == b"cookie":
                for pair in value.split(b";"):
                    found, _, worth = pair.partition(b"=")
                    if found.strip() == wanted:
                        return worth.strip() or None
        return None

    return key
