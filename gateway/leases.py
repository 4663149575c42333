"""What outlives a reload: pools, counted by the generations that use them.

A new generation takes what it needs before the old one gives back what it had, so whatever is in both is never closed.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from .batching.learnt import Learnt
from .config import schema
from .config.payload import Spool
from .graph.kserve.sidecar import Mesh
from .http.buffers import Buffers
from .http.origin import Origin
from .http.pool import Pool, Sweeper
from .http.tls import client_context
from .layers.trace import trace_attempts
from .payload.queue import Queue
from .payload.writer import Writer, segment_size
from .service import Layer
from .telemetry.access import AccessLog, Lines, Send
from .telemetry.metrics import Registry
from .upstream.backend import Upstream

if TYPE_CHECKING:
    from .telemetry.tracing.tracer import Tracer

VISITED = 32
"""Origins that the calls of one generation may have been sent on to, the latest ones."""


def nobody(lines: Lines) -> bool:
    """Where nobody takes them."""
    return False


class Leased(Protocol):
    """What outlives a reload."""

    def close(self) -> None: ...


L = TypeVar("L", bound=Leased)


class Leases:
    """The pools and upstreams of one worker, and the sweeper that keeps the calls' deadlines."""

    def __init__(self, tracer: Tracer | None = None, send: Send = nobody) -> None:
        self.send = send
        """Takes the lines of access logs away."""
        self.tracer = tracer
        """Traces requests; None: nobody asked for that."""
        self.buffers = Buffers()
        """Room for bodies; the data port says how much."""
        self.sweeper = Sweeper(asyncio.get_running_loop(), self.buffers)
        self.ready = True
        """False while the worker drains: readiness on the data port."""
        self.mesh = Mesh()
        self._held: dict[Hashable, Leased] = {}
        self._users: dict[Hashable, int] = {}

    def take(self, key: Hashable, make: Callable[[], L]) -> L:
        """What ``key`` stands for, made if nobody uses it yet. Every ``take`` wants one ``give_back``."""
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = make()
        self._users[key] = self._users.get(key, 0) + 1
        return cast(L, held)

    def give_back(self, key: Hashable) -> None:
        """It closes when its last user has given it back."""
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self._held.pop(key).close()

    def hand_on(self) -> None:
        """Send on what is noted, and spans that have ended."""
        if self.tracer is not None:
            self.tracer.flush()
        for held in self._held.values():
            if isinstance(held, AccessLog):
                held.hand_on()

    async def close(self) -> None:
        """Close everything; for the end of the worker."""
        self.hand_on()
        for kind in (Upstream, Pool, Queue, AccessLog):  # those first that give the others back
            for key in [key for key, held in self._held.items() if isinstance(held, kind)]:
                self._users[key] = 1
                self.give_back(key)
        await asyncio.sleep(0)


class Lease:
    """What one generation has taken; given back in one go."""

    def __init__(self, leases: Leases, registry: Registry, max_body: int, workers: int = 1) -> None:
        self.pools: dict[Hashable, Pool] = {}
        self.upstreams: dict[Hashable, Upstream] = {}
        self._others: list[Hashable] = []
        self.queues: dict[Hashable, Queue] = {}
        self._visited: dict[Hashable, None] = {}
        self._leases = leases
        self._registry = registry
        self._max_body = max_body
        self._workers = workers
        self._pending: list[Callable[[], None]] = []

    def pool(self, name: str, origin: Origin, tls: schema.BackendTls | None, connect_timeout: float) -> Pool:
        """The pool of the backend ``name``: the one that is already there, unless its origin or its TLS files changed.

        Raises OSError or ssl.SSLError when a TLS file is missing or does not fit.
        """
        key = self._key(name, origin, "", tls, _versions(tls))
        pool = self.pools.get(key)
        if pool is None:
            make = partial(self._make, name, origin, "", tls)
            pool = self.pools[key] = self._leases.take(key, lambda: make(client_context(tls) if origin.tls else None))
        pool.connect_timeout = connect_timeout
        return pool

    def around(self, name: str, origin: Origin, address: str = "") -> Layer | None:
        """What stands around the connections of the backend ``name`` to ``origin``, if anything does."""
        return trace_attempts(name, origin, address) if self._leases.tracer else None

    def upstream(self, name: str, backend: schema.Backend, origins: tuple[Origin, ...]) -> Upstream:
        """The upstream of the backend ``name``; it is called as ``backend`` says from ``begin`` on.

        Raises OSError or ssl.SSLError when a TLS file is missing or does not fit.
        """
        versions = _versions(backend.tls)
        key = ("upstream", name, origins, backend.tls, versions, self._max_body)
        upstream = self.upstreams.get(key)
        if upstream is None:
            upstream = self.upstreams[key] = self._leases.take(
                key, lambda: self._found(name, backend, origins, versions)
            )
            self._pending.append(partial(upstream.configure, backend))
        return upstream

    def _found(
        self, name: str, backend: schema.Backend, origins: tuple[Origin, ...], versions: tuple[int, ...]
    ) -> Upstream:
        """``versions``: of the TLS files that it began with, whatever becomes of them while it lasts."""
        tls = backend.tls
        context = client_context(tls) if any(origin.tls for origin in origins) else None

        def connect(origin: Origin, address: str) -> Pool:
            key = self._key(name, origin, address, tls, versions)
            return leases.take(key, lambda: self._make(name, origin, address, tls, context if origin.tls else None))

        def disconnect(origin: Origin, address: str) -> None:
            leases.give_back(self._key(name, origin, address, tls, versions))

        leases = self._leases
        around = partial(self.around, name)
        upstream = Upstream(name, origins, connect, disconnect, self._registry, self._workers, around)
        upstream.configure(backend)  # nobody else uses it yet
        return upstream

    def access_log(self, config: schema.AccessLog) -> AccessLog:
        """The log that ``config`` describes."""
        log = self._leases.take(config, lambda: AccessLog(config, self._registry, self._leases.send))
        self._others.append(config)
        return log

    def queue(self, name: str, spool: Spool) -> Queue:
        """Where events for the sink ``name`` wait; it follows ``spool`` from ``begin`` on. Raises OSError."""
        assert spool.path is not None, "the control process gives every spool a place"
        directory = Path(spool.path) / name
        key = ("queue", directory)
        queue = self.queues.get(key)
        if queue is None:
            loop = asyncio.get_running_loop()
            segment = segment_size(spool.max_bytes, self._workers)
            make = partial(_queue, name, directory, self._registry, loop)
            queue = self.queues[key] = self._leases.take(key, make)
            self._pending.append(partial(queue.configure, spool, segment))
        return queue

    def learnt(self, name: str, backend: schema.Backend) -> Learnt:
        """What batching knows of the backend ``name``, unless it is another one now, or batched in another way."""
        model = backend.protocol, backend.model, backend.path
        key = ("learnt", name, backend.urls, model, backend.batch)
        learnt = self._leases.take(key, Learnt)
        self._others.append(key)
        return learnt

    async def open(self) -> None:
        """Wait until the upstreams know where they are."""
        for upstream in self.upstreams.values():
            await upstream.open()

    def begin(self) -> None:
        """This generation is the one that serves: what it shares with the one before it follows its configuration."""
        for pool in self.pools.values():
            pool.max_connections = 0  # an upstream that does not use it any more may have set one
        for configure in self._pending:
            configure()
        self._pending.clear()

    def visit(self, name: str, origin: Origin, connect_timeout: float) -> Pool:
        """The pool for calls of the backend ``name`` that were sent on to ``origin``; the least used of them closes.

        They are not shared with the next generation's unless it goes to the same places while this one lasts.
        """
        key = self._key(name, origin, "", None, ())
        pool = self.pool(name, origin, None, connect_timeout)
        if key not in self._visited and len(self._visited) == VISITED:
            oldest = next(iter(self._visited))
            del self._visited[oldest], self.pools[oldest]
            self._leases.give_back(oldest)
        self._visited.pop(key, None)
        self._visited[key] = None
        return pool

    def _key(
        self, name: str, origin: Origin, address: str, tls: schema.BackendTls | None, versions: tuple[int, ...]
    ) -> Hashable:
        return (name, origin, address, tls, versions, self._max_body)

    def _make(
        self,
        name: str,
        origin: Origin,
        address: str,
        tls: schema.BackendTls | None,
        context: ssl.SSLContext | None,
    ) -> Pool:
        return Pool(
            origin,
            self._leases.sweeper,
            self._registry,
            name,
            address=address,
            tls=context,
            server_name=tls.server_name if tls else None,
            max_body=self._max_body,
        )

    def describe(self) -> list[dict[str, object]]:
        """Every pool and every endpoint, for ``/clusters``."""
        endpoints = [row for upstream in self.upstreams.values() for row in upstream.describe()]
        return [*(pool.describe() for pool in self.pools.values()), *endpoints]

    def release(self) -> None:
        """Give everything back."""
        for key in (*self.pools, *self.upstreams, *self.queues, *self._others):
            self._leases.give_back(key)
        self.pools.clear()
        self.upstreams.clear()
        self.queues.clear()
        self._others.clear()
        self._visited.clear()


def _queue(name: str, directory: Path, registry: Registry, loop: asyncio.AbstractEventLoop) -> Queue:
    return Queue(name, Writer(directory), registry, loop)


def _versions(tls: schema.BackendTls | None) -> tuple[int, ...]:
    """When each TLS file was last written, so that a renewed certificate makes a new pool."""
    files = (tls.ca_file, tls.cert_file, tls.key_file) if tls else ()
    return tuple(os.stat(file).st_mtime_ns for file in files if file is not None)
