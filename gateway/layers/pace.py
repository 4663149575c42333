"""Pace: how long a backend's calls take of late, so that none is started that can hardly end in time.

It would only keep a model server from a call that can.

The rule: a request pays for a comparison or two. What a call takes is looked at now and then, not each time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf

from gateway.errors import DeadlineExceeded
from gateway.message import Request, Response
from gateway.service import Service

from .quantile import Latency

APART = 0.01
"""Seconds from one call that is timed to the next: under load a hundred a second say as much as all of them."""

LET_THROUGH = 16
"""One in so many hopeless calls is made, or nobody would see that the backend has become faster."""


_SURELY = 0.95
"""A median is right to within 5 %: so much of it is not too much."""


class Pace:
    """Shared among all stacks that call ``backend``; ``clock``: loop time.

    Its owner reads two figures for each request, and goes by ``call`` if there is less time than ``median`` or it is
    ``look_at`` or later; else nothing need be known of the call.
    """

    __slots__ = ("_backend", "_clock", "_hopeless", "_latency", "look_at", "median")

    def __init__(self, backend: str, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        self._latency = Latency(clock)
        self._hopeless = 0
        self.median = 0.0
        """Seconds that half of the calls take at least, with all their retries; 0 while too few are known."""
        self.look_at = 0.0
        """When the next call is to be timed."""

    def call(self, inner: Service, request: Request) -> Awaitable[Response]:
        """Call ``inner`` and time it. Raises DeadlineExceeded, at once, when the request has too little time left."""
        now = self._clock()
        left = request.deadline - now
        if left < self.median and self._is_hopeless(left):
            raise DeadlineExceeded(
                f"{left * 1000:.0f} ms were left, and half of the calls of {self._backend} take longer than"
                f" {self.median * 1000:.0f} ms"
            )
        self.look_at = now + APART
        return self._timed(inner, request, now)

    def _is_hopeless(self, left: float) -> bool:
        self._look()  # what was known may have been forgotten meanwhile
        if left >= self.median:
            return False
        self._hopeless += 1
        return self._hopeless % LET_THROUGH != 0

    async def _timed(self, inner: Service, request: Request, since: float) -> Response:
        answer = await inner(request)
        if answer.status < 500:  # to fail fast is not to be fast
            self._latency.observe(self._clock() - since)
            self._look()
        return answer

    def _look(self) -> None:
        self.median = (self._latency.quantile(0.5) or 0.0) * _SURELY


def no_pace() -> Pace:
    """For calls that are made however little time is left, as KServe's router does."""
    pace = Pace("", lambda: 0.0)
    pace.look_at = inf
    return pace
