"""Line: the requests that wait for an endpoint, first come, first served; bounded in number and in time.

It hands out what is waited for, not a permission to go and look for it: nobody can snatch it on the way.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Final, Generic, TypeVar

import msgspec

from gateway.alarm import TICK, Alarm
from gateway.errors import DeadlineExceeded, GatewayError, QueueTimeout, UpstreamOverflow
from gateway.telemetry.metrics import Registry

T = TypeVar("T")

REASONS: Final = ("full", "timeout", "deadline", "cancelled", "unhealthy")


class _Waiter(msgspec.Struct, Generic[T], eq=False):
    """One request in the line; times are the loop's."""

    take: Callable[[], T | None]
    since: float
    deadline: float


class Line(Generic[T]):
    """Whoever joins gets a Future of what it waits for."""

    def __init__(self, registry: Registry, backend: str) -> None:
        self.capacity = 0
        """How many may wait."""
        self.waiters: OrderedDict[asyncio.Future[T], _Waiter[T]] = OrderedDict()
        """The first to come first; true while anybody waits."""
        self._backend = backend
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._sweep)
        self.be_patient(inf, QueueTimeout)
        self._depth = registry.gauge("gateway_queue_depth", backend=backend)
        self._places = registry.gauge("gateway_queue_capacity", backend=backend)
        self._wait = registry.duration("gateway_queue_wait_seconds", backend=backend)
        self._dropped = {
            reason: registry.counter("gateway_queue_dropped_total", backend=backend, reason=reason)
            for reason in REASONS
        }

    def __repr__(self) -> str:
        return f"<Line {self._backend} {len(self.waiters)}/{self.capacity}>"

    def resize(self, capacity: int) -> None:
        """Let so many wait from now on; those who wait already, stay."""
        self._places.add(capacity - self.capacity)
        self.capacity = capacity

    def be_patient(self, seconds: float, error: type[GatewayError], after: float = -inf) -> None:
        """Everyone leaves with ``error`` after so long a wait from now on; waits before ``after`` do not count."""
        self._patience, self._error, self._after = seconds, error, after
        self._arm_for_all()

    def join(self, take: Callable[[], T | None], deadline: float = inf, since: float = inf) -> asyncio.Future[T]:
        """A Future of what ``take`` will return, None meaning that there is nothing yet. Cancel it to leave.

        It leaves with DeadlineExceeded at the loop time ``deadline``. ``since``: when it began to wait, if not now.
        Raises UpstreamOverflow at once if the line is full.
        """
        if len(self.waiters) >= self.capacity:
            self._dropped["full"].add(1.0)
            detail = f"{self._backend}: {len(self.waiters)} requests are waiting already"
            raise UpstreamOverflow(detail, retry_after=1)
        waiter = _Waiter(take, min(since, self._loop.time()), deadline)
        future: asyncio.Future[T] = self._loop.create_future()
        self.waiters[future] = waiter
        self._depth.add(1.0)
        future.add_done_callback(self._cancelled)
        self._alarm.set(self._until(waiter))
        return future

    def admit(self) -> bool:
        """Give the first who still wants it what it waits for; False if there is nothing to give, or nobody."""
        now = self._loop.time()
        while self.waiters:
            future, waiter = next(iter(self.waiters.items()))
            if future.done() or self._until(waiter) <= now:
                self._expire(future, waiter)
            elif (found := waiter.take()) is None:
                return False
            else:
                self._remove(future)
                self._wait.observe(now - waiter.since)
                future.set_result(found)
                return True
        return False

    def dismiss(self, error: Callable[[], GatewayError]) -> None:
        """Nobody here will ever get anything: everyone leaves with an ``error`` of its own."""
        for future in list(self.waiters):
            self._drop(future, "unhealthy", error())

    # Leaving without.

    def _until(self, waiter: _Waiter[T]) -> float:
        return min(waiter.deadline, max(waiter.since, self._after) + self._patience)

    def _sweep(self, now: float) -> None:
        for future, waiter in [item for item in self.waiters.items() if self._until(item[1]) <= now]:
            self._expire(future, waiter)
        self._arm_for_all(now + TICK)

    def _arm_for_all(self, earliest: float = -inf) -> None:
        self._alarm.set(max(min(map(self._until, self.waiters.values()), default=inf), earliest))

    def _expire(self, future: asyncio.Future[T], waiter: _Waiter[T]) -> None:
        waited = f"{self._backend}: still waiting after {self._loop.time() - waiter.since:.3g} s"
        if waiter.deadline <= self._until(waiter):
            self._drop(future, "deadline", DeadlineExceeded(waited))
        else:
            self._drop(future, "timeout", self._error(waited, retry_after=1))

    def _drop(self, future: asyncio.Future[T], reason: str, error: GatewayError) -> None:
        if future.done():  # cancelled, and the loop has not come round to telling us
            self._cancelled(future)
            return
        self._remove(future)
        self._dropped[reason].add(1.0)
        future.set_exception(error)

    def _cancelled(self, future: asyncio.Future[T]) -> None:
        if future in self.waiters:
            self._remove(future)
            self._dropped["cancelled"].add(1.0)

    def _remove(self, future: asyncio.Future[T]) -> None:
        del self.waiters[future]
        self._depth.add(-1.0)


def always_there(registry: Registry, backend: str) -> None:
    """The series of a backend for which nobody ever waits: autoscalers want to read a 0 rather than nothing."""
    registry.gauge("gateway_queue_depth", backend=backend)
    registry.gauge("gateway_queue_capacity", backend=backend)
    registry.duration("gateway_queue_wait_seconds", backend=backend)
    for reason in REASONS:
        registry.counter("gateway_queue_dropped_total", backend=backend, reason=reason)
