"""Attempts: what Retry and Hedge have in common. One request may be sent several times, and each time says so."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gateway.message import Request, Response
from gateway.service import Service

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint

SAFE_METHODS = frozenset((b"GET", b"HEAD"))
"""May be repeated whatever the configuration says (RFC 9110 section 9.2.1)."""

_COUNT = re.compile(rb"x-gateway-attempt-count: ([0-9]+)\r\n")
_TIME = re.compile(rb"x-request-timeout-ms: [0-9]+\r\n")

Call = Callable[[Request, "list[Endpoint]"], Awaitable[Response]]
"""Sends a request, elsewhere than to the endpoints of the list if there is a choice, and adds the one that it chose."""


@runtime_checkable
class Elsewhere(Protocol):
    """A Service that can avoid endpoints: upstream/cluster.py, or a layer that passes on what it is told."""

    def call(self, request: Request, tried: list[Endpoint], /) -> Awaitable[Response]: ...


def calling(service: Service) -> Call:
    """How ``service`` is called again; where it has one endpoint only, it goes there each time."""
    if isinstance(service, Elsewhere):
        return service.call
    return lambda request, tried: service(request)


def count(stamp: bytes) -> int:
    """Which attempt it is, from 1, that sends ``stamp``."""
    said = _COUNT.search(stamp)
    return int(said[1]) if said else 1


def attempt(request: Request, number: int, now: float, deadline: float) -> Request:
    """``request`` to be sent for the ``number``-th time, at the loop time ``now``, with a deadline of its own.

    From the second on ``x-gateway-attempt-count`` says which. A model server that is told how much time is left is told
    the truth of this attempt.
    """
    derived = request.derive(deadline)
    if number > 1 and request.record is not None:
        request.record.attempts += 1
    stamp, tells_time = _TIME.subn(b"", _COUNT.sub(b"", request.stamp))
    if tells_time and deadline < inf:
        stamp += b"x-request-timeout-ms: %d\r\n" % (max(deadline - now, 0.0) * 1000)
    if number > 1:
        stamp += b"x-gateway-attempt-count: %d\r\n" % number
    derived.stamp = stamp
    return derived
