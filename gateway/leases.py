"""What outlives a reload: pools, counted by the generations that use them.

A new generation takes what it needs before the old one gives back what it had, so whatever is in both is never closed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable

from .config import schema
from .http.origin import Origin
from .http.pool import Pool, Sweeper
from .http.tls import client_context
from .telemetry.metrics import Registry


class Leases:
    """The pools of one worker, and the sweeper that keeps their deadlines."""

    def __init__(self) -> None:
        self.sweeper = Sweeper(asyncio.get_running_loop())
        self.ready = True
        """False while the worker drains: readiness on the data port."""
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


def _versions(tls: schema.BackendTls | None) -> tuple[int, ...]:
    """When each TLS file was last written, so that a renewed certificate makes a new pool."""
    files = (tls.ca_file, tls.cert_file, tls.key_file) if tls else ()
    return tuple(os.stat(file).st_mtime_ns for file in files if file is not None)
