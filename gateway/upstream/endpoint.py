"""One address of a backend, and what is known of it. Health, ejection and balancing meet here, and nowhere else."""

from __future__ import annotations

from math import inf
from random import random
from typing import Protocol

from gateway.errors import GatewayError
from gateway.http.origin import Origin
from gateway.message import Response
from gateway.service import Service


class Endpoint:
    """One address of a backend, as one worker sees it."""

    __slots__ = (
        "active",
        "address",
        "ejected",
        "healthy",
        "latency",
        "measured",
        "on_trial",
        "origin",
        "reachable",
        "service",
        "since",
        "turn",
    )

    def __init__(self, origin: Origin, service: Service, address: str = "") -> None:
        self.origin = origin
        self.address = address
        """The IP address, where the host of ``origin`` is a name that has several."""
        self.service = service
        """Takes the calls: the connections to it."""
        self.active = 0
        """Calls under way, from this worker."""
        self.healthy = True
        """False while active checks say no."""
        self.ejected = False
        """True while it is left out for its failures (outlier detection)."""
        self.on_trial = False
        """Ejected, but its time is over: one call at a time may find out whether it is well again."""
        self.reachable = True
        """False from a failed connection on, until one succeeds; kept only where requests are held for that."""
        self.since = -inf
        """Loop time at which it became usable; for its slow start."""
        self.latency = 0.0
        """Seconds, the moving average that PeakEWMA keeps."""
        self.measured = -inf
        """When it was last brought up to date."""
        self.turn: float = random()
        """Its last with RoundRobin; random before the first, so that workers do not go in step."""

    def __repr__(self) -> str:
        signs = ("unhealthy" * (not self.healthy), "ejected" * self.ejected, "unreachable" * (not self.reachable))
        return f"<Endpoint {self} active={self.active} {' '.join(filter(None, signs)) or 'usable'}>"

    def __str__(self) -> str:
        return f"{self.origin} ({self.address})" if self.address else str(self.origin)

    @property
    def usable(self) -> bool:
        return self.healthy and self.reachable and not self.ejected


class Watch(Protocol):
    """Told how each call of an endpoint ended: with an answer, or with an error. A call given up is not an end."""

    def __call__(
        self, endpoint: Endpoint, answer: Response | None, error: GatewayError | None, seconds: float, /
    ) -> None: ...
