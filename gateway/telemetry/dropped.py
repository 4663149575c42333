"""What is lost on its way to where logs and traces go: counted always, logged once a minute."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from time import monotonic

from .metrics import Counter

log = logging.getLogger("gateway")

QUIET = 60.0
"""Seconds between two lines of the log."""


class Dropped:
    """What was lost of ``what`` for one ``reason``."""

    def __init__(self, counter: Counter, what: str, reason: str, clock: Callable[[], float] = monotonic) -> None:
        self._counter = counter
        self._what = what
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
            log.error("%s dropped=%d reason=%s%s", self._what, self._untold, self._reason, detail)
            self._told, self._untold = now, 0
