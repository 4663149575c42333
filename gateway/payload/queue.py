"""Queue: the bounded memory of one worker for one sink; every 50 ms, or sooner, what is in it goes to the spool.

A request only ever appends to it. Events are made here, on the loop; the disk is a thread's business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from sys import maxsize
from typing import Protocol

from gateway.config.payload import Spool
from gateway.telemetry.metrics import Registry

from .dropped import Dropped
from .event import encode
from .recorder import Snapshot

DELAY = 0.05
"""Seconds that an event waits in memory, unless the disk is slow."""
BATCH = 256 << 10
"""Bytes of bodies at which it waits no longer."""
LIMIT = 16 << 20
"""Bytes of bodies that memory holds while the disk is slow."""


class Writing(Protocol):
    """A Writer."""

    most: int
    durable: bool

    def append(self, records: Sequence[bytes], /) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class Queue:
    """``put`` takes a snapshot at once and for good: it is written, or counted as dropped."""

    def __init__(
        self,
        sink: str,
        writer: Writing,
        registry: Registry,
        loop: asyncio.AbstractEventLoop,
        submit: Callable[..., Future[None]] | None = None,
    ) -> None:
        self._writer = writer
        self._loop = loop
        self._thread = ThreadPoolExecutor(1, f"spool-{sink}")
        self._submit = submit or self._thread.submit
        self._recorded = registry.counter("gateway_payload_log_events_total", sink=sink, result="recorded")
        self._full = Dropped(registry, sink, "memory", loop.time)
        self._broken = Dropped(registry, sink, "disk", loop.time)
        self._waiting: deque[Snapshot] = deque()
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing = False
        self._sync: asyncio.TimerHandle | None = None
        self._fsync: float | str = 1.0

    def __repr__(self) -> str:
        return f"<Queue {len(self._waiting)} events, {self._size} bytes{' writing' if self._writing else ''}>"

    def configure(self, spool: Spool, segment: int) -> None:
        """``segment``: bytes at which a file is full."""
        self._fsync = spool.fsync
        self._writer.durable = spool.fsync != "never"
        self._writer.most = segment

    def put(self, taken: Snapshot) -> None:
        """Keep ``taken`` until it is in the spool."""
        self._waiting.append(taken)
        self._size += len(taken.body)
        if self._size >= BATCH:
            self._crowded()
        elif self._timer is None and not self._writing:
            self._timer = self._loop.call_later(DELAY, self._flush)

    def close(self) -> None:
        """Write what is left and sync it; the thread does so, and the process waits for it at its end."""
        self._cancel_timers()
        records = self._records(maxsize)
        self._thread.submit(self._finish, records)
        self._thread.shutdown(wait=False)

    def _crowded(self) -> None:
        while self._size > LIMIT and len(self._waiting) > 1:
            self._size -= len(self._waiting.popleft().body)
            self._full.add(1)
        self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing or not self._waiting:
            return
        self._writing = True
        records = self._records(BATCH)
        written = self._submit(self._write, records, self._fsync == "always")
        written.add_done_callback(lambda done: self._call(self._written, done, len(records)))

    def _call(self, call: Callable[..., None], *arguments: object) -> None:
        """On the loop, from the thread; after the loop's end nobody is interested any more."""
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass

    def _records(self, size: int) -> list[bytes]:
        """The oldest events, encoded, until their bodies make ``size`` bytes or more."""
        records = []
        while self._waiting and size > 0:
            taken = self._waiting.popleft()
            self._size -= len(taken.body)
            size -= len(taken.body) + 1
            records.append(encode(taken.recorder.event(taken)))
        return records

    def _write(self, records: list[bytes], sync: bool) -> None:
        self._writer.append(records)
        if sync:
            self._writer.sync()

    def _written(self, done: Future[None], count: int) -> None:
        self._writing = False
        if (error := done.exception()) is None:
            self._recorded.add(count)
            self._sync_in_time()
        else:
            self._broken.add(count, str(error))
        if self._size >= BATCH:
            self._flush()
        elif self._waiting:
            self._timer = self._loop.call_later(DELAY, self._flush)

    def _sync_in_time(self) -> None:
        if isinstance(self._fsync, float) and self._sync is None:
            self._sync = self._loop.call_later(self._fsync, self._synchronize)

    def _synchronize(self) -> None:
        self._sync = None
        self._submit(self._writer.sync).add_done_callback(lambda done: self._call(self._synchronized, done))

    def _synchronized(self, done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            self._broken.add(0, str(error))

    def _finish(self, records: list[bytes]) -> None:
        try:
            if records:
                self._write(records, self._fsync != "never")
                self._recorded.add(len(records))
        except OSError as error:
            self._broken.add(len(records), str(error))
        finally:
            self._writer.close()

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._sync):
            if timer is not None:
                timer.cancel()
