"""Relay: spans that have ended leave the worker, some at a time, for the control process, which exports them.

The rule: whatever befalls them there, requests do not wait, and share no interpreter with it. What finds no way out is
dropped, and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.telemetry.dropped import Dropped
from gateway.telemetry.gathered import Gathered
from gateway.telemetry.metrics import Registry

from .span import Ended, Span

DELAY: Final = 0.5
"""Seconds that a span waits for others, at most: those that a worker loses when it is killed."""

BATCH: Final = 64
"""Spans that are sent as soon as there are so many, and no more of them at once."""

Send = Callable[[int, bytes], bool]
"""Takes that many spans, encoded, to where they are exported; False where there is no room for them."""

Look = Callable[[Ended], None]
"""Looks at each span that leaves."""

_encode = msgspec.msgpack.Encoder().encode


class Relay(Gathered[Span]):
    """Takes each span as it ends. What is told of spans is put together for many at once, when the code for it is warm:
    for one request in a hundred it would cost four times as much."""

    def __init__(self, send: Send, registry: Registry, batch: int = BATCH, look: Look | None = None) -> None:
        super().__init__(DELAY, batch)
        self._send = send
        self._look = look
        self._dropped = Dropped(registry.counter("gateway_trace_spans_dropped_total"), "traces: spans", "full")

    def __repr__(self) -> str:
        return f"<Relay {len(self._items)}>"

    def __call__(self, span: Span) -> None:
        self.take(span)

    def flush(self) -> None:
        """Send what is there now."""
        self.hand_on()

    def _leave(self, items: list[Span]) -> None:
        for first in range(0, len(items), self._batch):
            some = [span.ended() for span in items[first : first + self._batch]]
            if self._look is not None:
                for one in some:
                    self._look(one)
            if not self._send(len(some), _encode(some)):
                self._dropped.add(len(some))
