"""InTime: no call is started that can hardly end in time: it would only keep a model server from one that can."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Awaitable

from gateway.errors import DeadlineExceeded
from gateway.message import Request, Response
from gateway.service import Layer, Service

from .quantile import Latency

LET_THROUGH = 16
"""One in so many hopeless calls is made, or nobody would see that the backend has become faster."""


class InTime:
    """Refuses a request with less time left than half of the backend's calls of late have taken.

    Raises DeadlineExceeded, at the call itself. ``latency`` learns what the calls take that are made.
    """

    def __init__(self, inner: Service, backend: str, latency: Latency) -> None:
        self.inner = inner
        self._backend = backend
        self._latency = latency
        self._hopeless = 0
        self._clock = get_running_loop().time

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        now = self._clock()
        median = self._latency.quantile(0.5)
        if median is not None and request.deadline - now < median:
            self._hopeless += 1
            if self._hopeless % LET_THROUGH:
                raise DeadlineExceeded(self._why(request.deadline - now, median))
        return self._timed(request, now)

    def _why(self, left: float, median: float) -> str:
        times = f"{left * 1000:.0f} ms were left, and half of the calls of {self._backend} take longer than"
        return f"{times} {median * 1000:.0f} ms"

    async def _timed(self, request: Request, since: float) -> Response:
        answer = await self.inner(request)
        if answer.status < 500:  # to fail fast is not to be fast
            self._latency.observe(self._clock() - since)
        return answer


def in_time(backend: str, latency: Latency) -> Layer:
    """``latency``: of the backend's calls with all their retries, shared among all stacks that call the backend."""
    return lambda inner: InTime(inner, backend, latency)
