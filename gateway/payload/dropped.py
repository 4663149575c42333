"""Events that are lost: counted always, logged once a minute."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf

from gateway.telemetry.metrics import Registry

log = logging.getLogger("gateway")

QUIET = 60.0
"""Seconds between two lines of the log."""


class Dropped:
    """What one ``sink`` lost for one ``reason``."""

    def __init__(self, registry: Registry, sink: str, reason: str, clock: Callable[[], float]) -> None:
        self._counter = registry.counter("gateway_payload_log_dropped_total", sink=sink, reason=reason)
        self._sink = sink
        self._reason = reason
        self._clock = clock
        self._untold = 0
        self._told = -inf

    def add(self, count: int, cause: str = "") -> None:
        """``cause``: for the log, where the reason does not say it all."""
        self._counter.add(count)
        self._untold += count
        self._tell(cause)

    def tell(self) -> None:
        """Say what was not said yet, if it is time; for whoever comes by again and again."""
        if self._untold:
            self._tell("")

    def _tell(self, cause: str) -> None:
        now = self._clock()
        if now - self._told >= QUIET:
            detail = f": {cause}" if cause else ""
            log.error("payload log: sink=%s dropped=%d reason=%s%s", self._sink, self._untold, self._reason, detail)
            self._told, self._untold = now, 0
