"""Retry: a call that failed is made again, if possible elsewhere, while time and the budget allow.

The rule: whoever called sees the last answer or error as it came. Nothing is ever sent twice that may not be.
"""

from __future__ import annotations

import random
import time
from asyncio import Future, get_running_loop, sleep
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING

from gateway.config import backend as config
from gateway.errors import GatewayError, UpstreamConnectFailure
from gateway.message import Record, Request, Response
from gateway.service import Layer, Service
from gateway.telemetry.metrics import Counter, Registry

from .attempt import Elsewhere, attempt, calling
from .budget import Budget
from .conditions import Conditions, End
from .retry_after import retry_after

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint

LONGEST_WAIT = 300.0
"""Seconds; a model server that asks for more patience than this has its answer passed on."""

_DOUBLED = 30
"""Times; no pause is as long as that many would make it."""

Random = Callable[[], float]
"""Draws from [0, 1)."""


class Counters:
    """What is counted of one backend's retries; every series exists from the start."""

    def __init__(self, registry: Registry, backend: str, reasons: tuple[str, ...]) -> None:
        name = "gateway_upstream_retries_total"
        self.retries: dict[str, Counter] = {
            reason: registry.counter(name, backend=backend, reason=reason) for reason in reasons
        }
        self.successes = registry.counter("gateway_upstream_retry_success_total", backend=backend)
        self.exhausted = registry.counter("gateway_upstream_retry_budget_exhausted_total", backend=backend)


class Retry:
    """Calls ``inner`` up to ``policy.attempts`` times. ``random`` draws the pauses; ``wall`` is Unix time."""

    def __init__(
        self,
        inner: Service,
        policy: config.Retry,
        budget: Budget,
        counters: Counters,
        random: Random = random.random,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.inner = inner
        self._call = calling(inner)
        self._policy = policy
        self._conditions = Conditions(policy.retry_on, policy.idempotent)
        self._patience = policy.per_try_timeout or inf
        self._budget = budget
        self._counters = counters
        self._random = random
        self._wall = wall
        self._clock = get_running_loop().time

    def __repr__(self) -> str:
        return f"<Retry attempts={self._policy.attempts} {self._budget!r}>"

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        self._budget.noted += 1
        return self._from_first(request)

    async def _from_first(self, request: Request) -> Response:
        tried: list[Endpoint] = []
        first = request if self._patience == inf else self._attempt(request, 1)
        return await self._settled(request, await self._end(first, tried), tried)

    async def _settled(self, request: Request, end: End, tried: list[Endpoint]) -> Response:
        """What the caller gets, once the first call has come to ``end``."""
        number = 1
        try:
            while number < self._policy.attempts and (pause := self._pause(request, end, number)) is not None:
                if isinstance(end, Response):
                    end.drop()
                await sleep(pause)
                number += 1
                end = await self._end(self._attempt(request, number), tried)
            if number == self._policy.attempts > 1 and request.record is not None:
                self._exhausted(request.record, end)
            if isinstance(end, GatewayError):
                raise end
            if number > 1 and end.status < 500 and self._conditions.of_answer(end) is None:
                self._counters.successes.add()
            return end
        finally:
            del end  # an error that this raises knows this frame, which would know the error through it

    def _exhausted(self, record: Record, end: End) -> None:
        """The last attempt has been made; if it failed, too, the access log says so."""
        failed = isinstance(end, GatewayError) or end.status >= 500 or self._conditions.of_answer(end) is not None
        if failed and "URX" not in record.flags:
            record.flags += ("URX",)

    async def _end(self, sent: Request, tried: list[Endpoint]) -> End:
        try:
            return await self._call(sent, tried)
        except GatewayError as error:
            return error

    def _attempt(self, request: Request, number: int) -> Request:
        now = self._clock()
        return attempt(request, number, now, min(request.deadline, now + self._patience))

    def _pause(self, request: Request, end: End, number: int) -> float | None:
        """Seconds until the next call, which is counted herewith; None: there is to be none."""
        reason = self._conditions.met(end, request, self._clock() < request.deadline)
        if reason is None:
            return None
        backoff = self._policy.backoff
        pause = self._random() * min(backoff.base * 2.0 ** min(number - 1, _DOUBLED), backoff.max)
        if isinstance(end, Response) and (asked := retry_after(end, self._wall())):
            if asked > LONGEST_WAIT:
                return None
            pause = asked * (1 + self._random() / 2)
        if self._clock() + pause >= request.deadline:
            return None
        if not self._budget.take():
            self._counters.exhausted.add()
            return None
        self._counters.retries[reason].add()
        return pause


class Redial(Retry):
    """Retries nothing but failed connections to the one place there is: a call over a connection that is open already
    is left alone, at no cost.
    """

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        self._budget.noted += 1
        try:
            call = self.inner(request)
        except GatewayError as error:
            return self._settled(request, error, [])
        # A plain Future is an answer that is on its way: whatever must connect first is a coroutine or a Task.
        return call if type(call) is Future else self._watched(request, call)

    async def _watched(self, request: Request, call: Awaitable[Response]) -> Response:
        try:
            return await call
        except UpstreamConnectFailure as error:
            end = error
        try:
            return await self._settled(request, end, [])
        finally:
            del end


def retry_budget(policy: config.Retry, workers: int) -> Budget:
    """The budget of one backend in one of ``workers`` processes: share it among all stacks that call the backend."""
    budget = policy.budget
    return Budget(budget.percent, budget.min_per_second / workers, get_running_loop().time)


def retry(registry: Registry, backend: str, policy: config.Retry, budget: Budget) -> Layer | None:
    """``policy`` in front of ``backend``; None, for no layer, where it allows one attempt and that all its time."""
    if policy.attempts == 1 and not policy.per_try_timeout:
        return None
    counters = Counters(registry, backend, policy.retry_on)
    only_connecting = set(policy.retry_on) <= {"connect-failure"} and not policy.per_try_timeout

    def layer(inner: Service) -> Service:
        kind = Redial if only_connecting and not isinstance(inner, Elsewhere) else Retry
        return kind(inner, policy, budget, counters)

    return layer
