"""Name resolution: every address that a backend's host names have is an endpoint of its own.

The rule: an address that stays keeps its Endpoint with all that is known of it; a look-up that fails changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from math import inf
from random import random
from typing import Protocol

from gateway.http.origin import Origin
from gateway.service import spawn
from gateway.telemetry.metrics import Registry

from .endpoint import Endpoint

log = logging.getLogger("gateway")

REFRESH = 30.0
"""Seconds between two look-ups of a name."""

RETRY = 1.0
"""Seconds between two while the name has never had an address, or those that it has had are in doubt."""

JITTER = 0.1
"""How much longer or shorter these may be."""

PATIENCE = 2.0
"""Seconds that ``start`` waits for the first answers."""

MOST = 256
"""Addresses of a name that are used."""

QUIET = 60.0
"""Seconds between two lines of the log about the same name."""


Found = Sequence[tuple[int, int, int, str, tuple[object, ...]]]
"""Family, type, protocol, canonical name and socket address, as ``socket.getaddrinfo`` returns them."""


class Lookup(Protocol):
    """A loop's ``getaddrinfo``. Raises OSError where there is no answer, ValueError for what can be no name."""

    def __call__(self, host: str, port: int, /, *, type: int, flags: int) -> Awaitable[Found]: ...


class Names:
    """The endpoints of one backend, kept up with its host names; needs a running loop."""

    def __init__(
        self,
        backend: str,
        origins: Iterable[Origin],
        make: Callable[[Origin, str], Endpoint],
        drop: Callable[[Endpoint], None],
        replace: Callable[[list[Endpoint]], None],
        registry: Registry,
        *,
        lookup: Lookup,
        chance: Callable[[], float] = random,
    ) -> None:
        """``make`` builds the endpoint of an origin at an address (``""``: the origin says it all); ``drop`` closes it.

        ``replace`` is told all endpoints whenever they have changed, before any is dropped.
        """
        self._backend = backend
        self._origins = tuple(dict.fromkeys(origins))
        self._make = make
        self._drop = drop
        self._replace = replace
        self._lookup = lookup
        self._chance = chance
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._failures = registry.counter("gateway_upstream_dns_failures_total", backend=backend)
        self._endpoints: dict[tuple[Origin, str], Endpoint] = {}
        self._addresses: dict[str, list[str]] = {one.host: [] for one in self._origins if is_name(one)}
        self._told = dict.fromkeys(self._addresses, -inf)
        self._doubt = {host: asyncio.Event() for host in self._addresses}
        self._first: dict[str, asyncio.Future[None]] = {host: loop.create_future() for host in self._addresses}
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Names {self._backend} {[str(endpoint) for endpoint in self._endpoints.values()]}>"

    def begin(self) -> None:
        """Tell of the endpoints that need no look-up, and begin to look up the others."""
        self._publish()
        self._tasks = [spawn(self._follow(host), f"addresses of {host}") for host in self._addresses]

    async def start(self) -> None:
        """Begin, unless that is done; returns when every name has been looked up once, or after 2 s."""
        if not self._tasks and not self._endpoints:
            self.begin()
        if self._first:
            await asyncio.wait(self._first.values(), timeout=PATIENCE)

    def doubt(self, host: str) -> None:
        """An address of ``host`` cannot be reached: perhaps it has another one by now. Look it up soon."""
        if host in self._doubt:
            self._doubt[host].set()

    def close(self) -> None:
        """Stop looking, and drop every endpoint."""
        for task in self._tasks:
            task.cancel()
        for endpoint in self._endpoints.values():
            self._drop(endpoint)
        self._endpoints = {}

    async def _follow(self, host: str) -> None:
        while True:
            await self._look_up(host)
            if not self._first[host].done():
                self._first[host].set_result(None)
            await self._pause(host)

    async def _pause(self, host: str) -> None:
        self._doubt[host].clear()
        stretch = 1 - JITTER + 2 * JITTER * self._chance()
        await asyncio.sleep(RETRY * stretch)
        if self._addresses[host]:
            with suppress(TimeoutError):
                async with asyncio.timeout((REFRESH - RETRY) * stretch):
                    await self._doubt[host].wait()

    async def _look_up(self, host: str) -> None:
        try:
            # ADDRCONFIG: no IPv6 addresses where this machine has none itself, and the same for IPv4.
            found = await self._lookup(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except (OSError, ValueError) as error:
            self._failed(host, getattr(error, "strerror", None) or str(error))
            return
        addresses = _addresses(found)
        if not addresses:
            self._failed(host, "no address")
            return
        if len(addresses) > MOST:
            self._tell(host, f"{len(addresses)} addresses, of which {MOST} are used")
        self._addresses[host] = addresses[:MOST]
        self._publish()

    def _failed(self, host: str, reason: str) -> None:
        self._failures.add()
        kept = len(self._addresses[host])
        self._tell(host, f"{reason}; {f'its last {kept} stay in use' if kept else 'it has had none yet'}")

    def _tell(self, host: str, problem: str) -> None:
        now = self._clock()
        if now - self._told[host] >= QUIET:
            self._told[host] = now
            log.warning("backend %s: addresses of %s: %s", self._backend, host, problem)

    def _publish(self) -> None:
        before = self._endpoints
        wanted = [(origin, address) for origin in self._origins for address in self._addresses_of(origin)]
        if wanted == list(before):
            return
        self._endpoints = {key: before.get(key) or self._make(*key) for key in wanted}
        self._replace(list(self._endpoints.values()))
        for key, endpoint in before.items():
            if key not in self._endpoints:
                self._drop(endpoint)

    def _addresses_of(self, origin: Origin) -> list[str]:
        return self._addresses[origin.host] if is_name(origin) else [""]


def is_name(origin: Origin) -> bool:
    """Whether the origin's host must be looked up, and can have several addresses."""
    if origin.socket or origin.host == "localhost":  # both of whose addresses are this machine
        return False
    try:
        ipaddress.ip_address(origin.host)
    except ValueError:
        return True
    return False


def _addresses(found: Found) -> list[str]:
    """Each address once, IPv4 first, in an order that does not depend on the answer's."""
    return [address for _, address in sorted({(family, str(where[0])) for family, _, _, _, where in found})]
