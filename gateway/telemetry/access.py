"""The access log of a worker: records of requests that have ended leave it some at a time, for the control process.

The rule: requests wait for no line. Putting it into words, and writing it, is somebody else's work; see journals.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import random
from time import perf_counter
from typing import Final, Literal

import msgspec

from gateway.config.telemetry import AccessLog as Config
from gateway.message import Record

from .dropped import Dropped
from .gathered import Gathered
from .metrics import Registry

DELAY: Final = 0.1
"""Seconds that a record waits for others, at most: those that a worker loses when it is killed."""

BATCH: Final = 256
"""Records that leave as soon as there are so many."""


class Lines(msgspec.Struct, tag=True):
    """So many records for the log at ``path``."""

    path: str
    format: Literal["json", "text"]
    count: int
    epoch: float
    """Unix time when the clock of the records was at 0."""
    records: bytes
    """Encoded, for nobody looks at them on the way."""


Send = Callable[[Lines], bool]
"""Takes lines to where they are written; False where there is no room for them."""

_encode = msgspec.msgpack.Encoder().encode


class AccessLog(Gathered[Record]):
    """Collects what ended and hands it on, ``DELAY`` later or ``BATCH`` at a time.

    ``clock``: that of the records; ``wall``: Unix time.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        send: Send,
        random: Callable[[], float] = random,
        clock: Callable[[], float] = perf_counter,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(DELAY, BATCH)
        counter = registry.counter("gateway_access_log_dropped_total", reason="full")
        self._full = Dropped(counter, f"access log: path={config.path}", "full")
        self._path = config.path
        self._format = config.format
        self._send = send
        self._least = 400 if config.errors_only else 0
        self._rate = config.sample_rate
        self._random = random
        self.note = self._take_some if config.errors_only or config.sample_rate < 1.0 else self.take
        """Takes the record of a request that has ended."""
        self._clock = clock
        self._wall = wall

    def __repr__(self) -> str:
        return f"<AccessLog {self._path} {len(self._items)}>"

    def close(self) -> None:
        """Nobody will note anything any more."""
        self.hand_on()

    def _leave(self, items: list[Record]) -> None:
        epoch = self._wall() - self._clock()
        if not self._send(Lines(self._path, self._format, len(items), epoch, _encode(items))):
            self._full.add(len(items))

    def _take_some(self, record: Record) -> None:
        if record.status >= self._least and (self._rate == 1.0 or self._random() < self._rate):
            self.take(record)
