"""Queue: the bounded memory of one worker for one sink; every 50 ms, or sooner, what is in it goes to the spool.

A request only ever appends to it. Events are encoded here, on the loop, many at once; the disk is a thread's business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from gateway.config.payload import Spool
from gateway.telemetry.metrics import Registry

from .event import Snapshot
from .frames import Frame, pack
from .lost import lost

DELAY = 0.05
"""Seconds that an event waits in memory at most, unless the disk is slow."""
FULL = 1 << 20
"""Bytes at which it waits no longer; fewer where the spool's files are smaller."""
LIMIT = 16 << 20
"""Bytes that memory holds while the disk is slow."""
OVERHEAD = 512
"""Bytes, about, that an event takes beside its body."""

AT_ONCE = 16
"""Snapshots that are finished in one go: redaction reads bodies, and requests wait meanwhile."""

Finish = Callable[[Snapshot], None]
"""What is yet to be done to a snapshot, in place, before anybody else may see it."""


class Writing(Protocol):
    """A Writer."""

    most: int
    durable: bool

    def append(self, frame: Frame, /) -> None: ...
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
        self._full = lost(registry, sink, "memory", loop.time)
        self._broken = lost(registry, sink, "disk", loop.time)
        self._taken: list[Snapshot] = []
        self._unfinished: list[tuple[Finish, Snapshot]] = []
        self._size = 0
        self._frames: deque[Frame] = deque()
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing = False
        self._sync: asyncio.TimerHandle | None = None
        self._fsync: float | str = 1.0
        self._delay = DELAY
        self._most = FULL

    def __repr__(self) -> str:
        frames = f", {len(self._frames)} frames" if self._frames else ""
        return f"<Queue {len(self._taken)} events, {self._size} bytes{frames}{' writing' if self._writing else ''}>"

    def configure(self, spool: Spool, segment: int) -> None:
        """``segment``: bytes at which a file is full."""
        self._fsync = spool.fsync
        self._delay = min(DELAY, spool.fsync) if isinstance(spool.fsync, float) else DELAY
        self._writer.durable = spool.fsync != "never"
        self._writer.most = segment
        self._most = min(FULL, segment)

    def put(self, taken: Snapshot) -> None:
        """Keep ``taken`` until it is in the spool."""
        self._taken.append(taken)
        self._size += len(taken.body) + OVERHEAD
        if self._size >= self._most:
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._delay, self._flush)

    def put_unfinished(self, finish: Finish, taken: Snapshot) -> None:
        """The same, and have it finished with some others, before it is written."""
        self._unfinished.append((finish, taken))
        if len(self._unfinished) >= AT_ONCE:
            self._settle()
        self.put(taken)

    def close(self) -> None:
        """Write what is left and sync it; the thread does so, and the process waits for it at its end."""
        self._pack()
        if self._sync is not None:
            self._sync.cancel()
        self._thread.submit(self._finish, list(self._frames))
        self._frames.clear()
        self._thread.shutdown(wait=False)

    def _flush(self) -> None:
        self._pack()
        if not self._writing:
            self._begin()

    def _pack(self) -> None:
        """Make a frame of what has come; where there are too many of them, the oldest goes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._settle()
        if self._taken:
            self._frames.append(pack(self._taken))
            self._held += len(self._frames[-1].data)
            self._taken, self._size = [], 0
        while self._held > LIMIT and len(self._frames) > 1:
            self._full.add(self._oldest().records)

    def _settle(self) -> None:
        for finish, snapshot in self._unfinished:
            finish(snapshot)
        self._unfinished.clear()

    def _oldest(self) -> Frame:
        frame = self._frames.popleft()
        self._held -= len(frame.data)
        return frame

    def _begin(self) -> None:
        """Have the oldest frame written, if there is one."""
        if not self._frames:
            return
        frame = self._oldest()
        self._writing = True
        written = self._submit(self._write, frame, self._fsync == "always")
        written.add_done_callback(lambda done: self._call(self._written, done, frame.records))
        if isinstance(self._fsync, float) and self._sync is None:
            # Counted from when the oldest event came, and not from when it was written.
            self._sync = self._loop.call_later(self._fsync - self._delay, self._synchronize)

    def _call(self, call: Callable[..., None], *arguments: object) -> None:
        """On the loop, from the thread; after the loop's end nobody is interested any more."""
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass

    def _write(self, frame: Frame, sync: bool) -> None:
        self._writer.append(frame)
        if sync:
            self._writer.sync()

    def _written(self, done: Future[None], count: int) -> None:
        self._writing = False
        if (error := done.exception()) is None:
            self._recorded.add(count)
        else:
            self._broken.add(count, str(error))
        self._full.tell()
        self._broken.tell()
        self._begin()

    def _synchronize(self) -> None:
        self._sync = None
        self._submit(self._writer.sync).add_done_callback(lambda done: self._call(self._synchronized, done))

    def _synchronized(self, done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            self._broken.add(0, str(error))

    def _finish(self, frames: list[Frame]) -> None:
        try:
            for frame in frames:
                self._append(frame)
            if self._fsync != "never":
                self._writer.sync()
        except OSError as error:
            self._broken.add(0, str(error))
        finally:
            self._writer.close()

    def _append(self, frame: Frame) -> None:
        try:
            self._writer.append(frame)
        except OSError as error:
            self._broken.add(frame.records, str(error))
        else:
            self._recorded.add(frame.records)
