"""Active health checks: each endpoint of a backend is asked, again and again, whether it is well.

The rule: checks go their own way. They share the endpoint's connections, but no Watch hears of them, and nobody waits
for one. An endpoint counts as well until its first answer, which decides at once; thresholds apply from there on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from random import random

from gateway.config.backend import HealthCheck
from gateway.errors import GatewayError, UpstreamOverflow
from gateway.message import Headers, Request
from gateway.service import spawn
from gateway.telemetry.metrics import Registry

from .endpoint import Endpoint

log = logging.getLogger("gateway")

JITTER = 0.1
"""How much longer or shorter than configured an interval may be."""

SPREAD = 1.0
"""Seconds over which the first checks are spread; never longer than an interval."""


class Verdict:
    """What the results of one endpoint's checks amount to."""

    __slots__ = ("_against", "_known")

    def __init__(self) -> None:
        self._known = False
        self._against = 0
        """Results in a row that contradict what the endpoint counts as."""

    def healthy(self, so_far: bool, success: bool, config: HealthCheck) -> bool:
        """Whether the endpoint is healthy after one more result; ``so_far``: whether it was before."""
        self._against = 0 if success == so_far else self._against + 1
        needed = config.healthy_threshold if success else config.unhealthy_threshold
        decided = not self._known or self._against >= needed
        self._known = True
        if decided:
            self._against = 0
        return success if decided else so_far


class HealthChecks:
    """The checks of one backend; needs a running loop."""

    def __init__(
        self,
        backend: str,
        config: HealthCheck,
        target: bytes,
        headers: Headers,
        changed: Callable[[], None],
        registry: Registry,
        *,
        chance: Callable[[], float] = random,
    ) -> None:
        """``target``: what is asked for, with GET. ``headers``: those that every call to the backend carries.

        ``changed`` is called whenever an endpoint has become healthy or unhealthy; ``chance`` draws from [0, 1).
        """
        self._backend = backend
        self._config = config
        self._target = target
        self._headers = headers
        self._changed = changed
        self._chance = chance
        self._clock = asyncio.get_running_loop().time
        self._verdicts: dict[Endpoint, Verdict] = {}
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}
        self._results = {
            success: registry.counter("gateway_upstream_health_checks_total", backend=backend, result=result)
            for success, result in ((True, "success"), (False, "failure"))
        }

    def __repr__(self) -> str:
        return f"<HealthChecks {self._backend} unhealthy={[str(one) for one in self._verdicts if not one.healthy]}>"

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """These are the endpoints now; the checks of those that stay go on as if nothing had happened."""
        before = self._verdicts
        self._verdicts = {endpoint: before.get(endpoint) or Verdict() for endpoint in endpoints}
        for endpoint in before:
            if endpoint not in self._verdicts:
                self._tasks.pop(endpoint).cancel()
        for endpoint in self._verdicts:
            if endpoint not in before:
                self._begin(endpoint)

    def configure(self, config: HealthCheck, target: bytes, headers: Headers) -> None:
        """Check so from now on; what is known of the endpoints stays."""
        if (config, target, headers) == (self._config, self._target, self._headers):
            return
        self._config, self._target, self._headers = config, target, headers
        for endpoint in self._verdicts:
            self._tasks[endpoint].cancel()
            self._begin(endpoint)

    def close(self) -> None:
        """The end of checking: what was unhealthy gets its chance again."""
        unhealthy = [endpoint for endpoint in self._verdicts if not endpoint.healthy]
        self.replace(())
        for endpoint in unhealthy:
            self._turn(endpoint, True, "it is not checked any more")

    def _begin(self, endpoint: Endpoint) -> None:
        self._tasks[endpoint] = spawn(self._check(endpoint), f"health of {endpoint}")

    async def _check(self, endpoint: Endpoint) -> None:
        interval = self._config.interval
        await asyncio.sleep(min(SPREAD, interval) * self._chance())
        while True:
            with suppress(UpstreamOverflow):  # its connections are all busy, which is no illness
                self._hear(endpoint, await self._ask(endpoint))
            await asyncio.sleep(interval * (1 - JITTER + 2 * JITTER * self._chance()))

    async def _ask(self, endpoint: Endpoint) -> str | None:
        """What is wrong with it, or None. Raises UpstreamOverflow if it cannot be asked."""
        deadline = self._clock() + self._config.timeout
        try:
            answer = await endpoint.service(Request(b"GET", self._target, list(self._headers), deadline=deadline))
        except UpstreamOverflow:
            raise
        except GatewayError as error:
            return error.detail or error.code
        return None if answer.status in self._config.expected_statuses else f"status {answer.status}"

    def _hear(self, endpoint: Endpoint, problem: str | None) -> None:
        success = problem is None
        self._results[success].add()
        healthy = self._verdicts[endpoint].healthy(endpoint.healthy, success, self._config)
        if healthy != endpoint.healthy:
            self._turn(endpoint, healthy, problem or "it passed its checks")

    def _turn(self, endpoint: Endpoint, healthy: bool, reason: str) -> None:
        endpoint.healthy = healthy
        if healthy:
            endpoint.since = self._clock()
        level, state = (logging.INFO, "healthy") if healthy else (logging.WARNING, "unhealthy")
        log.log(level, "backend %s: %s is %s: %s", self._backend, endpoint, state, reason)
        self._changed()
