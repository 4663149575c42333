"""Latency: how long the calls of a backend take of late. Plain code: no loop in this file.

Buckets in geometric progression over two half-windows, so memory and the work for a sample are constant: the older half
is forgotten whole when the newer one is full.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

HALF = 30.0
"""Seconds of a half-window: a quantile is of the last 30 to 60 seconds."""

ENOUGH = 20
"""Samples below which there is no quantile."""

_LEAST, _GROWTH, _BUCKETS = 0.0001, 1.1, 176
"""Upper limit of the first bucket in seconds, and from one to the next; the last one holds half an hour and more."""

_PER_BUCKET = 1 / log(_GROWTH)


class Latency:
    """Samples of the last minute; their quantiles are right to within 5 %, from 0.1 ms to half an hour.

    ``clock``: seconds that never go back.
    """

    __slots__ = ("_clock", "_count", "_known", "_newer", "_older", "_recount_at", "_turn_at")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._newer = [0] * _BUCKETS
        self._older = [0] * _BUCKETS
        self._count = 0
        self._turn_at = clock() + HALF
        self._known: dict[float, float] = {}
        self._recount_at = 0

    def observe(self, seconds: float) -> None:
        """Add a sample."""
        if self._clock() >= self._turn_at:
            self._turn()
        bucket = int(log(seconds / _LEAST) * _PER_BUCKET) + 1 if seconds > _LEAST else 0
        self._newer[min(bucket, _BUCKETS - 1)] += 1
        self._count += 1

    def quantile(self, q: float) -> float | None:
        """Seconds in which the share ``q`` of the calls is over; None while there are too few samples to tell.

        It is counted anew only when there is a twentieth more of them: a call for each request costs next to nothing.
        """
        if self._clock() >= self._turn_at:
            self._turn()
        if self._count < ENOUGH:
            return None
        if self._count >= self._recount_at:
            self._known.clear()
            self._recount_at = self._count + self._count // 20
        found = self._known.get(q)
        if found is None:
            found = self._known[q] = self._find(q)
        return found

    def _find(self, q: float) -> float:
        wanted = q * self._count
        bucket = -1
        seen = 0
        while not seen or seen < wanted:
            bucket += 1
            seen += self._newer[bucket] + self._older[bucket]
        return float(_LEAST * _GROWTH ** (bucket - 0.5))

    def _turn(self) -> None:
        """Forget the older half; both, when their time is over."""
        halves = int((self._clock() - self._turn_at) / HALF) + 1
        self._older = self._newer if halves == 1 else [0] * _BUCKETS
        self._newer = [0] * _BUCKETS
        self._count = sum(self._older)
        self._turn_at += halves * HALF
        self._recount_at = 0
