"""Adaptive: how many calls at once an endpoint bears, found from the latency that is seen. No asyncio in this file.

Envoy's gradient controller, made small: now and then the latency is measured with hardly any calls under way; as long
as calls take no longer than that the limit grows, and once they do, because they wait for each other, it shrinks.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from random import random
from typing import Final

from gateway.errors import GatewayError, UpstreamTimeout
from gateway.message import Response

from .endpoint import Endpoint

BUFFER: Final = 0.25
"""How much slower than the best a call may be before that means a queue."""

WINDOW: Final = 0.1
"""Seconds of calls after which the limit is set anew; sooner if there were MANY, later if there were too FEW."""

MANY: Final = 50
FEW: Final = 5

MEASURING: Final = 1
"""Calls at once, for each endpoint, while the best latency is measured; many a model server has one place only."""

INTERVAL: Final = 60.0
"""Seconds between two measurements, up to 10 % more so that workers do not measure together; longer for slow models."""

EFFORT: Final = 20
"""Measuring takes at most one part in so many of the time."""


class Adaptive:
    """``limit`` is for each endpoint of a backend. Tell it of every call, while that call still counts as active."""

    def __init__(self, clock: Callable[[], float], most: int = 1000, draw: Callable[[], float] = random) -> None:
        self.limit = MEASURING
        """From 1 to ``most``."""
        self._clock = clock
        self._most = most
        self._draw = draw
        self._best = 0.0
        self._found = self.limit
        self._again = 0.0
        self._peak = 0
        self._samples: list[float] = []
        self._measure(clock())

    def __repr__(self) -> str:
        return f"<Adaptive limit={self.limit} best={self._best:.3g} s{' measuring' * self._measuring}>"

    def __call__(self, endpoint: Endpoint, answer: Response | None, error: GatewayError | None, seconds: float) -> None:
        tells = isinstance(error, UpstreamTimeout) if answer is None else answer.status < 500
        now = self._clock()
        # What began under another limit tells nothing about this one; the millionth is for rounding.
        if not tells or now - seconds < self._since + 1e-6:
            return
        self._samples.append(seconds)
        self._peak = max(self._peak, endpoint.active)
        count = len(self._samples)
        # The first to end are the fastest: the others that were under way with them must have had their time, too.
        if count >= MANY or (count >= max(FEW, self._peak) and now - self._since >= WINDOW):
            self._close(now, sorted(self._samples)[count // 2])

    def _close(self, now: float, latency: float) -> None:
        if self._measuring:
            self._best = latency
            self.limit = self._found
            self._again = now + max(INTERVAL * (1 + self._draw() / 10), EFFORT * (now - self._since))
        else:
            self._adjust(latency)
        if now >= self._again:
            self._measure(now)
        else:
            self._open(now, measuring=False)

    def _adjust(self, latency: float) -> None:
        gradient = min(max(self._best * (1 + BUFFER) / max(latency, 1e-9), 0.5), 2.0)
        limit = gradient * self.limit
        limit = min(max(int(limit + sqrt(limit)), 1), self._most)
        if limit < self.limit or self._peak * 2 >= self.limit:  # what nobody makes use of proves nothing
            self.limit = limit

    def _measure(self, now: float) -> None:
        self._found = self.limit
        self.limit = MEASURING
        self._open(now, measuring=True)

    def _open(self, now: float, measuring: bool) -> None:
        self._measuring = measuring
        self._since = now
        self._peak = 0
        self._samples = []
