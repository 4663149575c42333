"""Outlier detection: an endpoint whose real calls fail in a row is left out for a while, then one call tries it again.

The rule: leaving one out must not make things worse. The last usable endpoint always stays, and so do all but the share
that the configuration allows; what is found then is counted and logged only. Every time an endpoint is left out ends.
Names and counting are Envoy's (outlier detection, "consecutive" types). The decisions need no loop: clock, timer and
chance are handed in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from math import inf
from random import random
from typing import Final, Protocol

import msgspec

from gateway.config.backend import OutlierDetection
from gateway.errors import (
    GatewayError,
    UpstreamConnectFailure,
    UpstreamProtocolError,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamUnusable,
)
from gateway.message import Response
from gateway.telemetry.metrics import Registry

from .endpoint import Endpoint

log = logging.getLogger("gateway")

LOCAL, GATEWAY, ANY = TYPES = (
    "consecutive_local_origin_failures",
    "consecutive_gateway_errors",
    "consecutive_5xx",
)
"""What is counted, the most telling first: one failure may complete several rows at once."""

BLAMED: Final = (UpstreamConnectFailure, UpstreamProtocolError, UpstreamReset, UpstreamTimeout, UpstreamUnusable)
"""Errors that are the endpoint's doing; a deadline that was over, or a limit of the gateway's own, is not."""

JITTER = 0.1
"""The most by which an ejection is longer than it must be, so that endpoints do not all come back at once."""

QUIET = 60.0
"""Seconds between two lines of the log about an endpoint that fails but has to stay."""


class Timer(Protocol):
    """What ``later`` gives back."""

    def cancel(self) -> None: ...


Later = Callable[[float, Callable[[], None]], Timer]
"""Calls the function after so many seconds: a loop's ``call_later``."""


class _Record(msgspec.Struct):
    """What is remembered of an endpoint."""

    rows: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(TYPES, 0))
    """Failures since the last call that was none, by type."""
    ejections: int = 0
    """Held against it when it was last ejected."""
    at: float = -inf
    """When it was last ejected."""
    until: float = -inf
    """When that ends or ended."""
    told: float = -inf
    """When the log last said that it fails but stays."""


class Outliers:
    """The Watch of one backend that ejects its failing endpoints. Times are seconds of ``clock``."""

    def __init__(
        self,
        backend: str,
        config: OutlierDetection,
        changed: Callable[[], None],
        registry: Registry,
        *,
        clock: Callable[[], float],
        later: Later,
        chance: Callable[[], float] = random,
    ) -> None:
        """``changed`` is called whenever an endpoint's flags have changed; ``chance`` draws from [0, 1)."""
        self._backend = backend
        self._config = config
        self._limits = _limits(config)
        self._changed = changed
        self._clock = clock
        self._later = later
        self._chance = chance
        self._records: dict[Endpoint, _Record] = {}
        self._timer: Timer | None = None
        self._due = inf
        self._ejected = registry.gauge("gateway_upstream_ejected", backend=backend)
        self._found = {
            (kind, enforced): registry.counter(
                "gateway_upstream_ejections_total", backend=backend, type=kind, enforced=str(enforced).lower()
            )
            for kind in TYPES
            for enforced in (True, False)
        }

    def __repr__(self) -> str:
        return f"<Outliers {self._backend} ejected={[str(one) for one in self._records if one.ejected]}>"

    def __call__(
        self, endpoint: Endpoint, answer: Response | None, error: GatewayError | None, seconds: float, /
    ) -> None:
        """A call of ``endpoint`` has ended, ``seconds`` after it was sent."""
        record = self._records.get(endpoint)
        if record is None or (error is not None and not isinstance(error, BLAMED)):
            return
        if endpoint.ejected and (not endpoint.on_trial or self._clock() - seconds < record.at):
            return  # nothing new: it was sent before the endpoint was left out
        status = None if answer is None else answer.status
        if (kind := self._complete(record, status, endpoint.on_trial)) is not None:
            self._failing(endpoint, record, kind)
        elif endpoint.on_trial:
            self._readmit(endpoint, "it answers again")
            self._changed()

    # The endpoints and the configuration may change at any time.

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """These are the endpoints now. What is known of those that stay is kept, the others are forgotten."""
        before = self._records
        self._records = {endpoint: before.get(endpoint) or _Record() for endpoint in endpoints}
        for gone in before.keys() - self._records.keys():
            self._clear(gone)
        self._relent()

    def configure(self, config: OutlierDetection) -> None:
        """Obey ``config`` from now on; ejections under way last as long as they were meant to."""
        self._config = config
        self._limits = _limits(config)
        self._relent()

    def close(self) -> None:
        """The end of detection: every endpoint is let in."""
        self._arm(inf)
        for endpoint in self._records:
            self._clear(endpoint)
        self._records = {}
        self._changed()

    # Deciding.

    def _complete(self, record: _Record, status: int | None, on_trial: bool) -> str | None:
        """Count an answer, None for no answer; the type whose row is complete now. On trial one failure is a row."""
        rows = record.rows
        if status is not None and status < 500:
            if rows[ANY]:
                record.rows = dict.fromkeys(TYPES, 0)
            return None
        rows[LOCAL] = rows[LOCAL] + 1 if status is None else 0
        rows[GATEWAY] = rows[GATEWAY] + 1 if status in (None, 502, 503, 504) else 0
        rows[ANY] += 1
        return next((kind for kind, limit in self._limits if rows[kind] >= (1 if on_trial else limit)), None)

    def _failing(self, endpoint: Endpoint, record: _Record, kind: str) -> None:
        enforced = self._dispensable(endpoint)
        self._found[kind, enforced].add()
        record.rows = dict.fromkeys(TYPES, 0)
        if enforced:
            self._eject(endpoint, record, kind)
            self._changed()
        elif endpoint.on_trial:
            self._readmit(endpoint, f"it still fails ({kind}), but the others cannot do without it")
            self._changed()
        else:
            self._spare(endpoint, record, kind)

    def _dispensable(self, endpoint: Endpoint) -> bool:
        others = [other for other in self._records if other is not endpoint]
        out = sum(other.ejected for other in others)
        return out < self._most() and any(other.usable for other in others)

    def _most(self) -> int:
        """How many may be out at once."""
        return max(1, len(self._records) * self._config.max_ejection_percent // 100)

    def _ejections(self, record: _Record) -> int:
        """How many ejections are held against it: one less for each base time that it has been in since the last."""
        base = self._config.base_ejection_time
        forgiven = (self._clock() - record.until) / base if base else inf
        return 0 if forgiven >= record.ejections else record.ejections - int(forgiven)

    # Acting.

    def _eject(self, endpoint: Endpoint, record: _Record, kind: str) -> None:
        record.ejections = self._ejections(record) + 1
        seconds = min(self._config.base_ejection_time * record.ejections, self._config.max_ejection_time)
        seconds *= 1 + JITTER * self._chance()
        record.at = self._clock()
        record.until = record.at + seconds
        self._clear(endpoint)
        self._ejected.add(1.0)
        endpoint.ejected = True
        self._arm(min(self._due, record.until))
        log.warning("backend %s: %s is left out for %.1f s: %s", self._backend, endpoint, seconds, kind)

    def _spare(self, endpoint: Endpoint, record: _Record, kind: str) -> None:
        now = self._clock()
        if now - record.told >= QUIET:
            record.told = now
            log.warning("backend %s: %s fails (%s), but too few others are left", self._backend, endpoint, kind)

    def _readmit(self, endpoint: Endpoint, reason: str) -> None:
        self._clear(endpoint)
        endpoint.since = self._clock()
        log.info("backend %s: %s takes calls again: %s", self._backend, endpoint, reason)

    def _clear(self, endpoint: Endpoint) -> None:
        if endpoint.ejected:
            self._ejected.add(-1.0)
        endpoint.ejected = endpoint.on_trial = False

    def _relent(self) -> None:
        """Let in what can no longer be done without, the earliest to come back first."""
        out = sorted((one for one in self._records if one.ejected), key=lambda one: self._records[one].until)
        surplus = len(out) - min(self._most(), len(self._records) - 1)
        for endpoint in out[: max(0, surplus)]:
            self._readmit(endpoint, "there are fewer others now")
        if surplus > 0:
            self._changed()

    # One timer, for the ejection that ends next.

    def _arm(self, due: float) -> None:
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._later(max(0.0, due - self._clock()), self._over) if due < inf else None

    def _over(self) -> None:
        # Not by the clock alone: a timer may be a trifle early, and would then be set again and again for no time.
        now = max(self._due, self._clock())
        self._timer, self._due = None, inf
        out = [(one, record.until) for one, record in self._records.items() if one.ejected and not one.on_trial]
        for endpoint, until in out:
            endpoint.on_trial = until <= now
        self._arm(min((until for _, until in out if until > now), default=inf))
        self._changed()


def _limits(config: OutlierDetection) -> list[tuple[str, int]]:
    """The types that are counted, in the order of TYPES, and how long a row must be."""
    limits = (
        config.consecutive_local_origin_failures,
        config.consecutive_gateway_errors,
        config.consecutive_5xx_errors,
    )
    return [(kind, limit) for kind, limit in zip(TYPES, limits, strict=True) if limit]
