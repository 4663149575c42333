"""ColdStart: waiting for endpoints that are down to come up, as a model server scaled to zero does when asked for.

An endpoint to which a connection failed is asked again and again whether it accepts one, by one task, however many
requests wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.service import spawn
from gateway.telemetry.metrics import Registry

from .endpoint import Endpoint

log = logging.getLogger("gateway")

Reach = Callable[[Endpoint], Awaitable[bool]]
"""Whether an endpoint accepts connections just now."""

SOON: Final = 0.1
"""Seconds between the first two attempts to reach an endpoint; doubled each time, up to SELDOM."""

SELDOM: Final = 1.0


class ColdStart:
    """Keeps ``Endpoint.reachable`` of one backend's endpoints; ``changed`` is called whenever it has set one."""

    def __init__(self, registry: Registry, backend: str, reach: Reach, changed: Callable[[], None]) -> None:
        self._backend = backend
        self._reach = reach
        self._changed = changed
        self._time = asyncio.get_running_loop().time
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}
        self._since: float | None = None
        self._count = registry.counter("gateway_cold_starts_total", backend=backend)
        self._seconds = registry.duration("gateway_cold_start_seconds", backend=backend)

    def begin(self) -> None:
        """A request waits, and no endpoint is up."""
        if self._since is None:
            self._since = self._time()
            self._count.add(1.0)

    def end(self) -> None:
        """An endpoint is up."""
        if self._since is not None:
            self._seconds.observe(self._time() - self._since)
            self._since = None

    def lost(self, endpoint: Endpoint) -> None:
        """A connection to ``endpoint`` has failed: no calls for it until one succeeds."""
        if endpoint not in self._tasks:
            log.warning("backend %s: %s cannot be reached, its requests are held", self._backend, endpoint)
            self._tasks[endpoint] = spawn(self._until_reached(endpoint), f"reach {endpoint}")
            endpoint.reachable = False
            self._changed()

    def forget(self, endpoint: Endpoint) -> None:
        """It is no longer one of the backend's; nothing is known of it any more."""
        if (task := self._tasks.pop(endpoint, None)) is not None:
            task.cancel()
            endpoint.reachable = True

    async def _until_reached(self, endpoint: Endpoint) -> None:
        fresh = self._time() - endpoint.since < SELDOM
        pause = SELDOM if fresh else SOON  # no haste for one that comes and goes
        await asyncio.sleep(pause)
        while not await self._reach(endpoint):
            pause = min(2 * pause, SELDOM)
            await asyncio.sleep(pause)
        del self._tasks[endpoint]
        log.info("backend %s: %s is up", self._backend, endpoint)
        endpoint.reachable = True
        endpoint.since = self._time()
        self._changed()
