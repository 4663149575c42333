"""Fault: lateness and errors on purpose, for game days.

It stands between what is done against failures and the calls, so that the one can be seen at work without the other.
"""

from __future__ import annotations

import asyncio
import random as chance
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.config.backend import Fault as Plan
from gateway.errors import FaultInjected, UpstreamTimeout
from gateway.message import Request, Response
from gateway.problem import problem
from gateway.service import Layer, Service
from gateway.telemetry.metrics import Counter, Registry

from .attempt import calling

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint

Random = Callable[[], float]
"""Draws from [0, 1)."""


class Fault:
    """Makes a share of the calls late, and answers a share with an error; each is drawn by itself."""

    def __init__(self, inner: Service, plan: Plan, delayed: Counter, aborted: Counter, random: Random) -> None:
        delay, abort = plan.delay, plan.abort
        self.inner = inner
        self._call = calling(inner)
        self._delay, self._late = (delay.duration, delay.percentage) if delay else (0.0, 0)
        self._status, self._failing = (abort.status, abort.percentage) if abort else (0, 0)
        self._delayed = delayed
        self._aborted = aborted
        self._random = random

    def __call__(self, request: Request) -> Awaitable[Response]:
        return self.call(request, [])

    def call(self, request: Request, tried: list[Endpoint]) -> Awaitable[Response]:
        """As a call, if possible not to one of those ``tried``."""
        if self._drawn(self._late):
            self._delayed.add()
            _mark(request, "DI")
            return self._later(request, tried)
        return self._now(request, tried)

    def _drawn(self, percentage: int) -> bool:
        return self._random() * 100 < percentage

    async def _later(self, request: Request, tried: list[Endpoint]) -> Response:
        left = request.deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(min(self._delay, left))
        if left <= self._delay:
            raise UpstreamTimeout("no answer in time: the call was delayed on purpose")
        return await self._now(request, tried)

    def _now(self, request: Request, tried: list[Endpoint]) -> Awaitable[Response]:
        if self._drawn(self._failing):
            self._aborted.add()
            _mark(request, "FI")
            return self._fail()
        return self._call(request, tried)

    async def _fail(self) -> Response:
        # An answer and no exception: a model server that fails answers, too.
        return problem(FaultInjected("this error was made on purpose"), status=self._status)


def _mark(request: Request, flag: str) -> None:
    if request.record is not None and flag not in request.record.flags:
        request.record.flags += (flag,)


def fault(plan: Plan, registry: Registry, backend: str, random: Random = chance.random) -> Layer:
    """``plan`` for every call of ``backend``."""
    delayed = registry.counter("gateway_faults_injected_total", backend=backend, type="delay")
    aborted = registry.counter("gateway_faults_injected_total", backend=backend, type="abort")
    return lambda inner: Fault(inner, plan, delayed, aborted, random)
