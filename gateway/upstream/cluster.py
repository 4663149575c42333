"""Cluster: the endpoints of one backend in one worker, as one Service. It picks one for each call.

The rule: whenever requests wait, no endpoint may take one. So whatever changes an endpoint lets in who can be let in,
at once, and a newcomer who finds room overtakes nobody.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from time import perf_counter

from gateway.errors import (
    ClientClosed,
    GatewayError,
    NoHealthyUpstream,
    QueueTimeout,
    UpstreamConnectFailure,
    UpstreamOverflow,
    UpstreamTimeout,
)
from gateway.message import Request, Response
from gateway.stream import Stream
from gateway.telemetry.metrics import Registry

from .coldstart import ColdStart, Reach
from .endpoint import Endpoint
from .line import Line
from .settings import Settings

log = logging.getLogger("gateway")


class Cluster:
    """Tell it with ``changed`` of every change of an endpoint's healthy, ejected and on_trial.

    ``reach`` tells whether an endpoint accepts connections; ``clock`` times the calls for the watches.
    """

    def __init__(
        self,
        name: str,
        endpoints: list[Endpoint],
        settings: Settings,
        registry: Registry,
        reach: Reach,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.name = name
        self.endpoints = list(endpoints)
        self._reach = reach
        self._clock = clock
        self._time = asyncio.get_running_loop().time
        self._line: Line[Endpoint] = Line(registry, name)
        self._cold = ColdStart(registry, name, reach, self.changed)
        self._all = registry.gauge("gateway_upstream_endpoints", backend=name)
        self._healthy = registry.gauge("gateway_upstream_healthy", backend=name)
        self._panics = registry.counter("gateway_upstream_panic_total", backend=name)
        self._counted = (0, 0)
        self._calls = 0
        self._up = -inf  # loop time at which the first endpoint came up
        self._panic = False
        self._usable: list[Endpoint] = []
        self._open: list[Endpoint] = []
        self._trials: list[Endpoint] = []
        self.configure(settings)

    def __repr__(self) -> str:
        return f"<Cluster {self.name} {len(self._open)}/{len(self.endpoints)} calls={self._calls} {self._line!r}>"

    # A call.

    def __call__(self, request: Request) -> Awaitable[Response]:
        return self.call(request, [])

    async def call(self, request: Request, tried: list[Endpoint]) -> Response:
        """As a call, if possible not to one of those ``tried``, which is told the one that was chosen.

        Raises UpstreamOverflow, QueueTimeout, NoHealthyUpstream, DeadlineExceeded, and what the endpoint raises.
        """
        if self._calls >= self._most:
            raise UpstreamOverflow(f"{self.name}: {self._calls} requests are under way or wait already", retry_after=1)
        self._calls += 1
        since = inf
        try:
            while True:
                endpoint = self._take(request, tried)
                if endpoint is None:
                    since = min(since, self._time())
                    endpoint = await self._wait(request, tried, since)
                started = self._clock()
                try:
                    answer = await endpoint.service(request)
                    if answer.stream is not None:
                        self._hold(endpoint, answer, answer.stream, self._clock() - started)
                        return answer
                    for watch in self._watches:
                        watch(endpoint, answer, None, self._clock() - started)
                    return answer
                except GatewayError as error:
                    if not self._holds(endpoint, error):
                        if not (request.hurried and isinstance(error, UpstreamTimeout)):
                            for watch in self._watches:
                                watch(endpoint, None, error, self._clock() - started)
                        raise
                finally:  # after the watches: whoever is let in now must see what they have decided
                    self._leave(endpoint)
        finally:
            self._calls -= 1

    def _hold(self, endpoint: Endpoint, answer: Response, stream: Stream, seconds: float) -> None:
        """A call lasts until its answer has ended, and only then can be told how; ``seconds`` it took to begin."""
        self._calls += 1
        endpoint.active += 1
        stream.when_ended(partial(self._streamed, endpoint, answer, seconds))

    def _streamed(self, endpoint: Endpoint, answer: Response, seconds: float, error: GatewayError | None) -> None:
        if not isinstance(error, ClientClosed):
            for watch in self._watches:
                watch(endpoint, answer if error is None else None, error, seconds)
        self._calls -= 1
        self._leave(endpoint)

    def _take(self, request: Request, tried: list[Endpoint]) -> Endpoint | None:
        """An endpoint for a call that begins now; None if none may take it."""
        among = self._open
        if self._trials and (trial := next((one for one in self._trials if not one.active), None)):
            among = [trial]
        elif tried:
            among = [one for one in among if one not in tried] or among
        if not among:
            return None
        endpoint = among[0] if len(among) == 1 else self._pick(among, request)
        tried.append(endpoint)
        endpoint.active += 1
        if endpoint.active == self._limit:
            self._open = [one for one in self._open if one is not endpoint]
        return endpoint

    def _leave(self, endpoint: Endpoint) -> None:
        endpoint.active -= 1
        if endpoint.active == self._limit - 1:
            self._open = self._with_room()
        if self._line.waiters:
            self._serve()

    async def _wait(self, request: Request, tried: list[Endpoint], since: float) -> Endpoint:
        """The endpoint that takes the request when its turn has come; it waits since the loop time ``since``."""
        if not self._usable:
            if not self._settings.hold:
                raise self._nobody()
            self._cold.begin()
        above = request.trace
        span = above.child("queue.wait", {"gateway.backend": self.name}) if above is not None else None
        place = self._line.join(partial(self._take, request, tried), request.deadline, since)
        began = self._time()
        try:
            return await place
        except BaseException as error:
            if span is not None:
                span.failed(error, 500)
            if not place.cancel() and not place.cancelled() and place.exception() is None:
                self._leave(place.result())  # given a place and called off in one moment
            raise
        finally:
            if request.record is not None:
                request.record.queued += self._time() - began
            if span is not None:
                span.finish()
            del place  # an error that it raises knows this frame, which would know the error through it

    def _holds(self, endpoint: Endpoint, error: GatewayError) -> bool:
        """True if the request is kept until somebody can be reached. No watch is told: ``reachable`` says it."""
        if not self._settings.hold or not isinstance(error, UpstreamConnectFailure):
            return False
        if endpoint in self.endpoints:
            self._cold.lost(endpoint)
        return True

    def _nobody(self) -> GatewayError:
        count = len(self.endpoints)
        return NoHealthyUpstream(f"{self.name}: none of its {count} endpoints can be asked", retry_after=1)

    # What the endpoints are like.

    def configure(self, settings: Settings) -> None:
        """Go on with other settings; nobody who waits or is under way is disturbed."""
        self._settings = settings
        self._pick = settings.picker.pick
        self._most = settings.max_requests or sys.maxsize
        adaptive = settings.adaptive
        self._limit = adaptive.limit if adaptive else settings.limit or sys.maxsize
        self._watches = (*settings.watches, adaptive, self._follow) if adaptive else settings.watches
        self.changed()

    def replace(self, endpoints: list[Endpoint]) -> None:
        """Use these from now on. Calls under way end where they began; an Endpoint in both is as it was."""
        for new in endpoints:
            if new not in self.endpoints:
                new.since = self._time()
        for gone in self.endpoints:
            if gone not in endpoints:
                self._cold.forget(gone)
        self.endpoints = list(endpoints)
        self.changed()

    def changed(self) -> None:
        """Somebody has changed an endpoint: see who may be called now."""
        usable = [one for one in self.endpoints if one.usable]
        self._count(len(self.endpoints), len(usable))
        self._alarm(0 < len(usable) * 100 < self._settings.panic_threshold * len(self.endpoints))
        was_up = bool(self._usable)
        # What cannot be reached has no capacity to offer in a panic.
        self._usable = [one for one in self.endpoints if one.reachable] if self._panic else usable
        self._trials = [one for one in self.endpoints if one.on_trial and one.healthy and one.reachable]
        self._open = self._with_room()
        self._queue(was_up)
        self._serve()

    def _queue(self, was_up: bool) -> None:
        """How many may wait, and how long: for somebody to come up, and after that for room."""
        settings = self._settings
        self._line.resize(settings.room(len(self.endpoints)))
        if not self._usable:
            self._line.be_patient(settings.hold or inf, NoHealthyUpstream)
            return
        if not was_up:
            self._up = self._time()
        self._line.be_patient(settings.queue_timeout or inf, QueueTimeout, self._up)
        self._cold.end()

    def _with_room(self) -> list[Endpoint]:
        return [one for one in self._usable if one.active < self._limit]

    def _serve(self) -> None:
        """Let in who waits, as long as there is room; without hope of any, send them away."""
        while self._line.admit():
            pass
        if self._line.waiters and not self._usable and not self._settings.hold:
            self._line.dismiss(self._nobody)

    def _follow(self, *_: object) -> None:
        """A Watch, after the one that may have found another limit."""
        adaptive = self._settings.adaptive
        if adaptive and adaptive.limit != self._limit:
            self._limit = adaptive.limit
            self.changed()

    def _alarm(self, panic: bool) -> None:
        if panic and not self._panic:
            self._panics.add(1.0)
            log.warning("backend %s: too few of its endpoints are healthy, all are used now", self.name)
        elif self._panic and not panic:
            log.warning("backend %s: only its healthy endpoints are used again", self.name)
        self._panic = panic

    def _count(self, endpoints: int, healthy: int) -> None:
        # Added, not set: the cluster that takes this one's place after a reload counts in the same gauges.
        self._all.add(endpoints - self._counted[0])
        self._healthy.add(healthy - self._counted[1])
        self._counted = endpoints, healthy

    # The whole of it.

    async def ready(self) -> bool:
        """Whether requests should be sent here. Nobody but they can wake a backend that is held for."""
        if self._settings.hold:
            return True
        for endpoint in list(self._usable):
            if self._settings.checked or await self._reach(endpoint):
                return True
        return False

    def describe(self) -> list[dict[str, object]]:
        """The state of each endpoint, for ``/clusters``."""
        return [
            {
                "backend": self.name,
                "url": str(one.origin),
                "address": one.address,
                "healthy": one.healthy,
                "ejected": one.ejected,
                "reachable": one.reachable,
                "active": one.active,
            }
            for one in self.endpoints
        ]

    def close(self) -> None:
        """Nobody will call any more."""
        self.replace([])
        self._line.resize(0)
