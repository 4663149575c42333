"""What outlives a reload: pools, counted by the generations that use them.

A new generation takes what it needs before the old one gives back what it had, so whatever is in both is never closed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable

from .config import schema
from .graph.kserve.sidecar import Mesh
from .http.origin import Origin
from .http.pool import Pool, Sweeper
from .http.tls import client_context
from .telemetry.metrics import Registry

VISITED = 32
"""Origins that the calls of one generation may have been sent on to, the latest ones."""


class Leases:
    """The pools of one worker, and the sweeper that keeps their deadlines."""

    def __init__(self) -> None:
        self.sweeper = Sweeper(asyncio.get_running_loop())
        self.ready = True
        """False while the worker drains: readiness on the data port."""
        self.mesh = Mesh()
        self._pools: dict[Hashable, Pool] = {}
        self._users: dict[Hashable, int] = {}

    def take(self, key: Hashable, make: Callable[[], Pool]) -> Pool:
        """The pool of ``key``, made if nobody uses it yet. Every ``take`` wants one ``give_back``."""
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = make()
        self._users[key] = self._users.get(key, 0) + 1
        return pool

    def give_back(self, key: Hashable) -> None:
        """The pool closes when its last user has given it back."""
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self._pools.pop(key).close()

    async def close(self) -> None:
        """Close every pool; for the end of the worker."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        self._users.clear()
        await asyncio.sleep(0)


class Lease:
    """What one generation has taken; given back in one go."""

    def __init__(self, leases: Leases, registry: Registry, max_body: int) -> None:
        self.pools: dict[Hashable, Pool] = {}
        self._visited: dict[Hashable, None] = {}
        self._leases = leases
        self._registry = registry
        self._max_body = max_body

    def pool(self, name: str, origin: Origin, tls: schema.BackendTls | None, connect_timeout: float) -> Pool:
        """The pool of the backend ``name``: the one that is already there, unless its origin or its TLS files changed.

        Raises OSError or ssl.SSLError when a TLS file is missing or does not fit.
        """
        key = (name, origin, tls, _versions(tls), self._max_body)
        pool = self.pools.get(key)
        if pool is None:
            pool = self.pools[key] = self._leases.take(key, lambda: self._make(name, origin, tls))
        pool.connect_timeout = connect_timeout
        return pool

    def visit(self, name: str, origin: Origin, connect_timeout: float) -> Pool:
        """The pool for calls of the backend ``name`` that were sent on to ``origin``; the least used of them closes.

        They are not shared with the next generation's unless it goes to the same places while this one lasts.
        """
        key = (name, origin, None, (), self._max_body)
        pool = self.pool(name, origin, None, connect_timeout)
        if key not in self._visited and len(self._visited) == VISITED:
            oldest = next(iter(self._visited))
            del self._visited[oldest], self.pools[oldest]
            self._leases.give_back(oldest)
        self._visited.pop(key, None)
        self._visited[key] = None
        return pool

    def _make(self, name: str, origin: Origin, tls: schema.BackendTls | None) -> Pool:
        return Pool(
            origin,
            self._leases.sweeper,
            self._registry,
            name,
            tls=client_context(tls) if origin.tls else None,
            server_name=tls.server_name if tls else None,
            max_body=self._max_body,
        )

    def release(self) -> None:
        """Give everything back."""
        for key in self.pools:
            self._leases.give_back(key)
        self.pools.clear()
        self._visited.clear()


def _versions(tls: schema.BackendTls | None) -> tuple[int, ...]:
    """When each TLS file was last written, so that a renewed certificate makes a new pool."""
    files = (tls.ca_file, tls.cert_file, tls.key_file) if tls else ()
    return tuple(os.stat(file).st_mtime_ns for file in files if file is not None)
