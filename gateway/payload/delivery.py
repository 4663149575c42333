"""Delivery: everything that one spool holds to its sink, in the order of each lane, until the sink has it.

At least once: what is remembered as sent was sent. Nothing is given up for a sink that fails, only for want of space.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import uniform

import msgspec

from gateway.service import spawn
from gateway.telemetry.metrics import Registry

from .dialect import Dialect
from .event import decode
from .lost import lost
from .sinks.sink import Sink, Verdict
from .spool import Spool
from .tail import Record, Tail

log = logging.getLogger("gateway")

POLL = 0.1
"""Seconds between two looks at the spool."""
FIRST, LONGEST = 0.1, 10.0
"""Seconds of back-off, at first and at most."""
READ = 1 << 20
"""Bytes read ahead."""


def prepare(name: str, registry: Registry) -> None:
    """Have every series of a sink, at 0, before there is anything to count."""
    registry.counter("gateway_payload_log_events_total", sink=name, result="sent")
    registry.counter("gateway_payload_log_retries_total", sink=name)
    registry.gauge("gateway_payload_log_queue_bytes", sink=name)
    for reason in ("spool", "damaged", "rejected"):
        registry.counter("gateway_payload_log_dropped_total", sink=name, reason=reason)


class Delivery:
    """Sends until it is cancelled."""

    def __init__(
        self,
        name: str,
        spool: Spool,
        sink: Sink,
        speak: Dialect,
        registry: Registry,
        jitter: Callable[[float, float], float] = uniform,
    ) -> None:
        clock = asyncio.get_running_loop().time
        self._name = name
        self._spool = spool
        self._sink = sink
        self._speak = speak
        self._jitter = jitter
        self._sent = registry.counter("gateway_payload_log_events_total", sink=name, result="sent")
        self._waiting = registry.gauge("gateway_payload_log_queue_bytes", sink=name)
        self._retries = registry.counter("gateway_payload_log_retries_total", sink=name)
        self._full = lost(registry, name, "spool", clock)
        self._damaged = lost(registry, name, "damaged", clock)
        self._rejected = lost(registry, name, "rejected", clock)
        self._failing = self._trouble = False
        self.gone = False
        """The receiver wants no more events; they stay in the spool."""

    async def run(self) -> None:
        """Send whatever comes, for ever."""
        keeping = spawn(self._keep(), f"spool {self._name}")
        try:
            while True:
                if self.gone or not await self.round():
                    await asyncio.sleep(POLL)
        finally:
            keeping.cancel()
            await self._sink.close()
            self._spool.save()

    def finished(self) -> bool:
        """True when everything that is there was sent."""
        return not any(tail.read(1, 1) for tail in self._spool.tails())

    async def round(self) -> bool:
        """Something from every lane; False if there was nothing."""
        found = False
        most = max(256, self._sink.together * self._sink.concurrency)
        for tail in self._spool.tails():
            if records := tail.read(most, READ):
                found = True
                await self._send(tail, records)
        return found

    def tidy(self) -> None:
        """Keep the bound, remember what was sent, and count what was lost."""
        if lost := self._spool.shrink():
            self._full.add(lost)
        if missing := self._spool.missing():
            self._damaged.add(missing)
        for dropped in (self._full, self._damaged, self._rejected):
            dropped.tell()
        self._spool.save()
        self._waiting.set(self._spool.waiting())

    async def _keep(self) -> None:
        while True:
            try:
                self.tidy()
            except OSError as error:  # again in a moment; without it the bound would not be kept any more
                self._troubled(error)
            await asyncio.sleep(POLL)

    async def _send(self, tail: Tail, records: Sequence[Record]) -> None:
        """``records`` in groups that are under way at once; the next group only when all of the one before arrived."""
        step = self._sink.together * self._sink.concurrency
        for start in range(0, len(records), step):
            if not await self._group(tail, records[start : start + step]):
                return

    async def _group(self, tail: Tail, records: Sequence[Record]) -> bool:
        """False if the records were dropped meanwhile, or nobody wants them."""
        together = self._sink.together
        messages = [records[start : start + together] for start in range(0, len(records), together)]
        results: dict[int, Verdict] = {}
        failures = 0
        while True:
            await self._attempt(messages, results)
            late = [verdict for verdict in results.values() if verdict.result == "retry"]
            if any(verdict.result == "gone" for verdict in results.values()):
                self._gone()
                return False
            if not late:
                self._recovered()
                return self._count(tail, messages, results)
            failures += 1
            await self._wait(late, failures)
            if not tail.holds(records[0]):
                return False

    async def _attempt(self, messages: Sequence[Sequence[Record]], results: dict[int, Verdict]) -> None:
        async with asyncio.TaskGroup() as group:
            for index, message in enumerate(messages):
                if index not in results or results[index].result == "retry":
                    group.create_task(self._one(index, message, results))

    async def _one(self, index: int, message: Sequence[Record], results: dict[int, Verdict]) -> None:
        try:
            events = [self._speak(decode(record.data)) for record in message]
        except msgspec.DecodeError:
            results[index] = Verdict("rejected", "written by another release, in words that this one does not know")
        else:
            results[index] = await self._sink.send(events)

    def _count(self, tail: Tail, messages: Sequence[Sequence[Record]], results: dict[int, Verdict]) -> bool:
        for index, message in enumerate(messages):
            for record in message:
                if not tail.done(record):
                    return False
            if results[index].result == "sent":
                self._sent.add(len(message))
            else:
                self._rejected.add(len(message), results[index].cause)
        return True

    async def _wait(self, late: Sequence[Verdict], failures: int) -> None:
        self._retries.add(len(late))
        if not self._failing:
            self._failing = True
            log.warning("payload log: sink=%s fails, events wait in the spool: %s", self._name, late[0].cause)
        limit = min(LONGEST, FIRST * 2 ** min(failures - 1, 16))
        await asyncio.sleep(max(self._jitter(0.0, limit), *(verdict.after for verdict in late)))

    def _troubled(self, error: OSError) -> None:
        if not self._trouble:
            self._trouble = True
            log.error("payload log: sink=%s cannot tidy its spool: %s", self._name, error)

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            log.info("payload log: sink=%s takes events again", self._name)

    def _gone(self) -> None:
        self.gone = True
        log.error("payload log: sink=%s wants no more events (410): they stay in the spool", self._name)
