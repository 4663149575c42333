"""Export: a thread of the control process that sends on the spans of all workers.

The rule: whatever befalls it, nobody waits. Spans that find no room are dropped, and counted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import msgspec

from gateway.telemetry.dropped import Dropped
from gateway.telemetry.metrics import Registry

from .span import Ended

log = logging.getLogger("gateway")

Send = Callable[[list[Ended]], bool]
"""Sends them, now, and tells whether they have arrived; it may take its time."""

NICE = 5
"""It gives way to requests."""

_decode = msgspec.msgpack.Decoder(list[Ended]).decode


class Batching(msgspec.Struct, frozen=True):
    """OTEL_BSP_*: how many spans may wait, how many are sent at once, and after how many seconds at the latest."""

    room: int = 2048
    size: int = 512
    delay: float = 5.0


def batching(environ: Mapping[str, str]) -> Batching:
    """What is not a number above 0 is taken as not set."""
    room = _number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", 2048)
    size = _number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
    return Batching(room, min(size, room), _number(environ, "OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000)


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    said = environ.get(name, "").strip()
    if said.isdecimal() and int(said):
        return int(said)
    if said:
        log.warning("%s=%s is not a number above 0: %d is used", name, said, default)
    return default


class Export:
    """``connect`` gives what sends; it is called in the thread, and so is that."""

    def __init__(self, connect: Callable[[], Send], registry: Registry, batching: Batching) -> None:
        self._connect = connect
        self._batching = batching
        self._queue: deque[tuple[int, bytes]] = deque()
        self._taken = 0
        self._done = 0  # of the thread, as _taken is of the callers: no number has two writers
        self._wake = threading.Event()
        self._closing = False
        self._dropped = Dropped(registry.counter("gateway_trace_spans_dropped_total"), "traces: spans", "full")
        self._sent = registry.counter("gateway_trace_spans_total", result="success")
        self._failed = registry.counter("gateway_trace_spans_total", result="failure")
        # A daemon: a collector that does not answer must not keep the gateway from its end.
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Export {self.waiting}/{self._batching.room}>"

    @property
    def waiting(self) -> int:
        """Spans that nobody has begun to send."""
        return self._taken - self._done

    def take(self, count: int, spans: bytes) -> None:
        """``spans``: so many ``Ended``, in msgpack. To be called from one thread only."""
        if self.waiting + count > self._batching.room or self._closing:
            self._dropped.add(count)
            return
        self._taken += count
        self._queue.append((count, spans))
        if self.waiting >= self._batching.size:
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what waits, but give up after so long."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            log.warning("the collector of traces did not take all spans in time")
        if self.waiting:
            self._dropped.add(self.waiting)
        self._taken = self._done

    # The thread.

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        send = self._connected()
        while not self._closing:
            self._wake.wait(self._batching.delay)
            self._wake.clear()
            self._drain(send)
        self._drain(send)

    def _connected(self) -> Send:
        try:
            return self._connect()
        except Exception:  # what OpenTelemetry makes of its variables; a gateway without traces is better than none
            log.exception("no traces are sent")
            return lambda spans: False

    def _drain(self, send: Send) -> None:
        waiting = self._arrived()
        while batch := list(islice(waiting, self._batching.size)):
            self._done += len(batch)
            (self._sent if _sent(send, batch) else self._failed).add(len(batch))

    def _arrived(self) -> Iterator[Ended]:
        while self._queue:
            yield from _decode(self._queue.popleft()[1])


def _sent(send: Send, batch: list[Ended]) -> bool:
    try:
        return send(batch)
    except Exception:
        log.exception("%d spans could not be sent", len(batch))
        return False
