"""Hedge: a second call when the first is slow, if possible elsewhere; the first good answer wins.

The rule: nothing outlives the request. Whatever still runs when it is decided, or given up, is cancelled.
"""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING

from gateway.config import backend as config
from gateway.config.scalars import quantile_or_duration
from gateway.message import Request, Response
from gateway.service import Layer, Service, begin
from gateway.telemetry.metrics import Registry

from .attempt import SAFE_METHODS, attempt, calling, count
from .budget import WINDOW, Budget
from .quantile import Latency

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint

Patience = Callable[[], float | None]
"""Seconds that the first call is given; None: nobody can tell yet."""


class Hedge:
    """One second call at most. An error, or an answer of 500 and above, waits for the other call's end.

    When neither is good the first call's end is the caller's. ``latency`` learns what calls take.
    """

    def __init__(
        self,
        inner: Service,
        patience: Patience,
        latency: Latency,
        budget: Budget,
        registry: Registry,
        backend: str,
        idempotent: bool = True,
    ) -> None:
        self.inner = inner
        self._call = calling(inner)
        self._patience = patience
        self._latency = latency
        self._budget = budget
        self._idempotent = idempotent
        self._clock = get_running_loop().time
        name = "gateway_upstream_hedges_total"
        self._won = registry.counter(name, backend=backend, result="won")
        self._lost = registry.counter(name, backend=backend, result="lost")
        self._exhausted = registry.counter(name, backend=backend, result="budget_exhausted")

    def __repr__(self) -> str:
        return f"<Hedge after={self._patience()} {self._budget!r}>"

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        return self.call(request, [])

    async def call(self, request: Request, tried: list[Endpoint], /) -> Response:
        """As ``__call__``; neither call goes to an endpoint in ``tried`` if there is a choice."""
        self._budget.noted += 1
        now = self._clock()
        patience = self._patience() if self._idempotent or request.method in SAFE_METHODS else None
        if patience is None or now + patience >= request.deadline:
            return self._timed(await self._call(request, tried), now)
        first = begin(self._call, request, tried)
        answer: Response | None = None
        try:
            await settled((first,), now + patience)
            if first.done() or not self._second_allowed():
                answer = self._timed(await first, now)
            else:
                answer = await self._race(request, tried, first, now)
            return answer
        finally:
            abandon(first, answer)
            del first  # an error that this raises knows this frame, which would know the error through it

    def _second_allowed(self) -> bool:
        if self._budget.take():
            return True
        self._exhausted.add()
        return False

    async def _race(self, request: Request, tried: list[Endpoint], first: Future[Response], since: float) -> Response:
        """Make the second call too; ``first`` was made at ``since``."""
        now = self._clock()
        second = begin(self._call, attempt(request, count(request.stamp) + 1, now, request.deadline), tried)
        winner = first
        answer: Response | None = None
        try:
            winner = await better(first, second)
            answer = self._timed(await winner, since if winner is first else now)
            return answer
        finally:
            if winner is second and not first.done():
                self._latency.observe(self._clock() - since)  # at least so long; else slow calls would not be seen
            (self._won if winner is second else self._lost).add()
            abandon(second, answer)
            del first, second, winner  # see above

    def _timed(self, answer: Response, since: float) -> Response:
        """Note what a call took, unless it failed: to fail fast is not to be fast."""
        if answer.status < 500:
            self._latency.observe(self._clock() - since)
        return answer


async def better(first: Future[Response], second: Future[Response]) -> Future[Response]:
    """The one that is good before the other; when neither is, the first."""
    await settled((first, second))
    early, late = (first, second) if first.done() else (second, first)
    if good(early):
        return early
    await settled((late,))
    return late if good(late) else first


def good(call: Future[Response]) -> bool:
    """True when ``call``, which has ended, brought an answer below 500."""
    return not call.cancelled() and call.exception() is None and call.result().status < 500


def abandon(call: Future[Response], taken: Response | None = None) -> None:
    """Cancel it if it still runs, drop its answer unless that is the one ``taken``.

    A failure unseen is looked at, or asyncio would complain that nobody did.
    """
    if not call.cancel() and not call.cancelled() and call.exception() is None and call.result() is not taken:
        call.result().drop()


async def settled(calls: tuple[Future[Response], ...], until: float = inf) -> None:
    """Wait for the first of ``calls`` to end, or until the loop time ``until``."""
    loop = get_running_loop()
    over: Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    timer = loop.call_at(until, wake) if until < inf else None
    for call in calls:
        call.add_done_callback(wake)
    try:
        await over
    finally:
        if timer is not None:
            timer.cancel()
        for call in calls:
            call.remove_done_callback(wake)


def patience(after: str, latency: Latency) -> Patience:
    """What ``hedge.after`` says: a quantile of ``latency``, or a duration. Raises ValueError when it is neither."""
    share, seconds = quantile_or_duration(after)
    return (lambda: latency.quantile(share)) if share else (lambda: seconds)


def hedge_budget(policy: config.Hedge) -> Budget:
    """The budget of one backend in one process: share it among all stacks that call the backend.

    One second call in ten seconds is allowed always, for a share of little traffic is nothing.
    """
    least = 1 / WINDOW if policy.budget_percent else 0.0
    return Budget(policy.budget_percent, least, get_running_loop().time)


def hedge(
    registry: Registry, backend: str, policy: config.Hedge, latency: Latency, budget: Budget, idempotent: bool
) -> Layer:
    """``policy`` in front of ``backend``. ``latency``: of its calls, shared as ``budget`` is."""
    after = patience(policy.after, latency)
    return lambda inner: Hedge(inner, after, latency, budget, registry, backend, idempotent)
