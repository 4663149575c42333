"""The access log: one line a request, written in batches; see lines.py for what is in a line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import random
from time import perf_counter
from typing import Final

from gateway.config.telemetry import AccessLog as Config
from gateway.message import Record

from .journal import Journal
from .lines import Json, as_text
from .metrics import Registry

DELAY: Final = 0.1
"""Seconds that a line waits for others, at most."""

BATCH: Final = 256
"""Lines written as soon as there are so many."""


class AccessLog:
    """Collects what ended and hands it on, ``DELAY`` later or ``BATCH`` at a time. Raises OSError without its file.

    ``clock``: that of the records; ``wall``: Unix time.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        random: Callable[[], float] = random,
        clock: Callable[[], float] = perf_counter,
        wall: Callable[[], float] = time.time,
    ) -> None:
        counts = [registry.counter("gateway_access_log_dropped_total", reason=reason) for reason in ("full", "failed")]
        self.journal = Journal(config.path, *counts)
        self._written = Json() if config.format == "json" else as_text
        self._least = 400 if config.errors_only else 0
        self._rate = config.sample_rate
        self._random = random
        self.note = self._take_some if config.errors_only or config.sample_rate < 1.0 else self._take
        """Takes what is known of a request that has ended."""
        self._clock = clock
        self._wall = wall
        self._records: list[Record] = []
        self._timer: asyncio.TimerHandle | None = None
        self._later = asyncio.get_running_loop().call_later

    def __repr__(self) -> str:
        return f"<AccessLog {len(self._records)} {self.journal!r}>"

    def _take(self, record: Record) -> None:
        records = self._records
        records.append(record)
        count = len(records)
        if count == 1 or count == BATCH:
            self._due(0.0 if count == BATCH else DELAY)

    def _take_some(self, record: Record) -> None:
        if record.status >= self._least and (self._rate == 1.0 or self._random() < self._rate):
            self._take(record)

    def _due(self, delay: float) -> None:
        """Hand on what is there, so much later. Never at once: the answer to the last request goes out first."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._later(delay, self.hand_on)

    def hand_on(self) -> None:
        """Have what is there written now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        records, self._records = self._records, []
        if records:
            self.journal.write(self._written(records, self._wall() - self._clock()))

    def reopen(self) -> None:
        """The file has been moved away: go on in a new one."""
        self.hand_on()
        self.journal.reopen()

    def close(self) -> None:
        """Nobody will note anything any more."""
        self.hand_on()
        self.journal.close()
