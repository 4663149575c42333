"""Export: a thread that sends spans on.

The rule: whatever befalls it, requests do not wait. Spans that find no room are dropped, and counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from gateway.telemetry.metrics import Registry

from .span import Span

log = logging.getLogger("gateway")

Send = Callable[[list[Span]], bool]
"""Sends them, now, and tells whether they have arrived; it may take its time."""


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
    """Give it spans from one thread only; ``send`` is called in another."""

    def __init__(self, send: Send, registry: Registry, batching: Batching) -> None:
        self._send = send
        self._batching = batching
        self._queue: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._dropped = registry.counter("gateway_trace_spans_dropped_total")
        self._sent = registry.counter("gateway_trace_spans_total", result="success")
        self._failed = registry.counter("gateway_trace_spans_total", result="failure")
        # A daemon: a collector that does not answer must not keep a worker from its end.
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Export {len(self._queue)}/{self._batching.room}>"

    def __call__(self, span: Span) -> None:
        waiting = len(self._queue)
        if waiting >= self._batching.room or self._closing:
            self._dropped.add()
            return
        self._queue.append(span)
        if waiting + 1 == self._batching.size:
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what waits, but give up after so long."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            log.warning("the collector of traces did not take all spans in time")
        self._dropped.add(len(self._queue))
        self._queue.clear()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._batching.delay)
            self._wake.clear()
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while batch := self._next():
            (self._sent if self._arrives(batch) else self._failed).add(len(batch))

    def _arrives(self, batch: list[Span]) -> bool:
        try:
            return self._send(batch)
        except Exception:
            log.exception("%d spans could not be sent", len(batch))
            return False

    def _next(self) -> list[Span]:
        batch: list[Span] = []
        try:
            while len(batch) < self._batching.size:
                batch.append(self._queue.popleft())
        except IndexError:
            pass  # asking first whether there is one would not do: close() may take it away
        return batch
