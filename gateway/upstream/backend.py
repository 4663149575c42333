"""Upstream: one backend as it lives in a worker, with everything that looks after its endpoints.

It outlives the generations of the configuration for as long as its addresses stay the same: a reload changes how it is
called, and forgets nothing that was learnt of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Protocol

from gateway.config.addresses import prefix
from gateway.config.backend import Backend, Concurrency, LoadBalancer
from gateway.http.origin import Origin
from gateway.layers.attempt import attempt, count
from gateway.message import Request, Response
from gateway.service import Layer, Service, stack
from gateway.telemetry.metrics import Registry

from .adaptive import Adaptive
from .cluster import Cluster
from .endpoint import Endpoint, Watch
from .health import HealthChecks
from .names import Names
from .outlier import Outliers
from .pick import Picker, balance
from .settings import Settings

log = logging.getLogger("gateway")

MOST = 1000
"""Calls at once that an adaptive limit may find, where no limit bounds it."""


class Connections(Protocol):
    """The connections of one endpoint: a Pool."""

    connect_timeout: float
    max_connections: int
    first_byte: float
    silence: float

    def __call__(self, request: Request, /) -> Awaitable[Response]: ...
    async def reachable(self) -> bool: ...
    async def reach(self) -> bool: ...


class Upstream:
    """The cluster of one backend; its health checks, outlier detection and names.

    ``connect`` makes or finds the connections to an origin at an address; ``disconnect`` is told when they are not
    needed any more; ``around`` may put a layer around them. Call ``configure`` before the first call, and after each
    reload.
    """

    def __init__(
        self,
        name: str,
        origins: Iterable[Origin],
        connect: Callable[[Origin, str], Connections],
        disconnect: Callable[[Origin, str], None],
        registry: Registry,
        workers: int,
        around: Callable[[Origin, str], Layer | None] = lambda origin, address: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self._connect = connect
        self._disconnect = disconnect
        self._registry = registry
        self._workers = workers
        self._around = around
        self._config: Backend | None = None
        self._patience: float | None = None
        self._loop = loop
        self._connections: dict[Endpoint, Connections] = {}
        self._balance: tuple[LoadBalancer, Picker, tuple[Watch, ...]] | None = None
        self._adaptive: tuple[Concurrency, Adaptive] | None = None
        self._health: HealthChecks | None = None
        self._outliers: Outliers | None = None
        self.cluster = Cluster(name, [], Settings(picker=self._picker(LoadBalancer())[0]), registry, self._reach)
        self._names = Names(name, origins, self._make, self._drop, self._replace, registry, lookup=loop.getaddrinfo)
        self._names.begin()

    def __repr__(self) -> str:
        return f"<Upstream {self.cluster!r}>"

    async def open(self) -> None:
        """Wait until the addresses of its names are known, but not for more than 2 s."""
        await self._names.start()

    def close(self) -> None:
        """Nobody will call any more."""
        if self._health is not None:
            self._health.close()
        if self._outliers is not None:
            self._outliers.close()
        self.cluster.close()
        self._names.close()

    def describe(self) -> list[dict[str, object]]:
        """The state of each endpoint, for ``/clusters``."""
        return self.cluster.describe()

    # A reload.

    def configure(self, config: Backend) -> None:
        """Be called so from now on; nobody who waits or is under way is disturbed."""
        if config == self._config:
            return
        self._config = config
        self._patience = _patience(config) if config.queues else None
        for connections in self._connections.values():
            self._fit(connections)
        self._check(config)
        self._detect(config)
        self.cluster.configure(self._settings(config))

    def _check(self, config: Backend) -> None:
        check = config.health_check
        if check is None:
            if self._health is not None:
                self._health.close()
            self._health = None
            return
        target = _health_path(config).encode()
        headers = [(name.lower().encode(), value.encode()) for name, value in config.headers.set.items()]
        if self._health is None:
            self._health = HealthChecks(self.name, check, target, headers, self.cluster.changed, self._registry)
            self._health.replace(self.cluster.endpoints)
        else:
            self._health.configure(check, target, headers)

    def _detect(self, config: Backend) -> None:
        detection = config.outlier_detection
        if detection is None:
            if self._outliers is not None:
                self._outliers.close()
            self._outliers = None
        elif self._outliers is None:
            loop = self._loop
            self._outliers = Outliers(
                self.name, detection, self.cluster.changed, self._registry, clock=loop.time, later=loop.call_later
            )
            self._outliers.replace(self.cluster.endpoints)
        else:
            self._outliers.configure(detection)

    def _settings(self, config: Backend) -> Settings:
        picker, watches = self._picker(config.load_balancer)
        limits = config.concurrency or Concurrency()
        breaker = config.circuit_breaker
        if 0 < limits.limit < self._workers:
            message = "backend %s: concurrency.limit is %d, but each of the %d workers has at least one call: use fewer"
            log.warning(message, self.name, limits.limit, self._workers)
        return Settings(
            picker=picker,
            watches=(*watches, self._outliers) if self._outliers is not None else watches,
            limit=self._part(limits.limit),
            adaptive=self._limiter(limits),
            queue=self._part(limits.queue),
            queue_timeout=limits.queue_timeout,
            hold=config.hold,
            max_requests=self._part(breaker.max_requests) if breaker else 0,
            panic_threshold=config.load_balancer.panic_threshold,
            checked=config.health_check is not None,
        )

    def _part(self, number: int) -> int:
        """This worker's part of what is meant for all of them."""
        return -(-number // self._workers)

    def _picker(self, config: LoadBalancer) -> tuple[Picker, tuple[Watch, ...]]:
        if self._balance is None or self._balance[0] != config:
            self._balance = config, *balance(config, _affinity, self._loop.time)
        return self._balance[1], self._balance[2]

    def _limiter(self, config: Concurrency) -> Adaptive | None:
        if not config.adaptive:
            self._adaptive = None
            return None
        if self._adaptive is None or self._adaptive[0] != config:
            self._adaptive = config, Adaptive(self._loop.time, self._part(config.limit) or MOST)
        return self._adaptive[1]

    # The endpoints.

    def _make(self, origin: Origin, address: str) -> Endpoint:
        connections = self._connect(origin, address)
        self._fit(connections)
        service = stack(self._around(origin, address), service=self._timed(connections))
        endpoint = Endpoint(origin, service, address)
        self._connections[endpoint] = connections
        return endpoint

    def _fit(self, connections: Connections) -> None:
        if self._config is not None:
            breaker = self._config.circuit_breaker
            timeouts = self._config.timeouts
            connections.connect_timeout = timeouts.connect
            connections.first_byte = timeouts.first_byte
            connections.silence = timeouts.idle or inf
            connections.max_connections = self._part(breaker.max_connections) if breaker else 0

    def _timed(self, connections: Connections) -> Service:
        """The time limits of a backend for which calls may have to wait: they begin when a call is sent."""

        def call(request: Request) -> Awaitable[Response]:
            if self._patience is None:
                return connections(request)
            now = self._loop.time()
            return connections(attempt(request, count(request.stamp), now, min(request.deadline, now + self._patience)))

        return call

    def _drop(self, endpoint: Endpoint) -> None:
        del self._connections[endpoint]
        self._disconnect(endpoint.origin, endpoint.address)

    def _replace(self, endpoints: list[Endpoint]) -> None:
        self.cluster.replace(endpoints)
        for observer in (self._outliers, self._health):
            if observer is not None:
                observer.replace(endpoints)

    async def _reach(self, endpoint: Endpoint) -> bool:
        connections = self._connections.get(endpoint)
        if connections is None:
            return False
        # An open connection tells enough, unless one has failed since.
        reached = await (connections.reachable() if endpoint.reachable else connections.reach())
        if not reached:  # a model server that was scaled to zero comes up at another address
            self._names.doubt(endpoint.origin.host)
        return reached


def _patience(config: Backend) -> float:
    """Seconds for one call."""
    return min(config.timeouts.request or inf, config.retry.per_try_timeout or inf)


def _affinity(request: Request) -> bytes | None:
    return request.affinity or None


def _health_path(config: Backend) -> str:
    check = config.health_check
    path = check.path if check is not None else None
    return path or prefix(config.urls[0]) + ("/v2/health/ready" if config.protocol == "v2" else "/")
