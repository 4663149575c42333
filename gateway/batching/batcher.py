"""Batcher: makes the calls that the queue decides on, and gives every caller its own part of the answers.

The rule: one task for a batch, a future for a request, and what becomes of one caller is nothing to the others. State
changes before anything is sent or told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from copy import copy
from functools import partial
from math import inf

from gateway.config.batch import Batch as Policy
from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    InternalError,
    QueueTooLong,
    UpstreamOverflow,
    UpstreamTimeout,
)
from gateway.formats.format import Format, Member, Mismatch, Unmergeable
from gateway.message import Request, Response
from gateway.service import Service, spawn

from .blame import can_be_a_row, parts
from .call import ended, send, sized
from .deadlines import Deadlines
from .kind import REST, Kind
from .lane import Batch, Case, Entry, Lane, Part
from .learnt import Learnt
from .metrics import Counted
from .queue import IDLE, Queue

log = logging.getLogger("gateway")

SICK = 1.0
"""Seconds without batching after a batch of which every request failed alone, too: more calls do not help then."""


class Batcher:
    """All batches of one backend, in one worker.

    ``new_id`` makes request ids. ``clock``: the loop's time, but finer than the milliseconds that it may count in.
    ``learnt``: what is known of the backend already.
    """

    def __init__(
        self,
        backend: str,
        policy: Policy,
        counted: Counted,
        new_id: Callable[[], bytes],
        clock: Callable[[], float],
        workers: int = 1,
        learnt: Learnt | None = None,
    ) -> None:
        self._backend = backend
        self._policy = policy
        self._counted = counted
        self._new_id = new_id
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        learnt = learnt or Learnt()
        self._cost = learnt.cost
        part = -(-policy.max_concurrent_batches // workers), -(-policy.max_queue // workers)
        self._queue = Queue(policy, learnt, *part)
        self._deadlines = Deadlines(self._expire)
        self._tasks: dict[Batch, asyncio.Task[None]] = {}
        self._pumping = False
        self._alarm: asyncio.TimerHandle | None = None
        self._collecting = False

    def __repr__(self) -> str:
        return f"<Batcher {self._backend} {self._queue!r}>"

    def submit(
        self, key: Hashable, member: Member, call: Service, format: Format, behind: float = 0.0
    ) -> Awaitable[Response]:
        """The answer to ``member``, from a batch with others of the same ``key``, or alone where that cannot be.

        ``behind``: seconds by which it is less urgent than others. Raises UpstreamOverflow or QueueTooLong at once.
        The answer is UpstreamOverflow where somebody more urgent takes its place.
        """
        now = self._clock()
        lane = self._queue.lanes.get(key) or self._open(key, call, format, now)
        if lane is None:
            return self.bypass("keys", member.request, call)
        lane.used = now
        if now < lane.kind.rest_until:
            return self.bypass("resting", member.request, call)
        entry = Entry(lane, member, self._loop.create_future(), now, now + behind)
        self._join(entry, now)
        return entry.answer

    def _open(self, key: Hashable, call: Service, format: Format, now: float) -> Lane | None:
        known = len(self._queue.lanes)
        lane = self._queue.open(key, call, format, now)
        self._counted.keys.add(len(self._queue.lanes) - known)
        return lane

    def bypass(self, reason: str, request: Request, call: Service) -> Awaitable[Response]:
        """Send it as it came, at once."""
        self._counted.bypassed[reason].add()
        return call(request)

    def _join(self, entry: Entry, now: float) -> None:
        try:
            last = self._queue.join(entry, now)
        except GatewayError as error:
            self._counted.dropped["late" if isinstance(error, QueueTooLong) else "full"].add()
            raise
        self._counted.depth.add()
        if last is not None:
            self._displace(last)
        self._deadlines.add(entry)
        entry.answer.add_done_callback(partial(self._cancelled, entry))
        self._collect()
        self._pump_soon()

    def _displace(self, entry: Entry) -> None:
        """The queue is full, and somebody more urgent has come."""
        self._counted.dropped["preempted"].add()
        self._leave(entry)
        if not entry.answer.done():
            detail = f"{self._backend}: it gave way to a more urgent request"
            entry.answer.set_exception(UpstreamOverflow(detail, retry_after=1))

    # Sending.

    def _pump_soon(self) -> None:
        """Once in a turn of the loop, so that requests that came together go together."""
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        now = self._clock()
        while (batch := self._queue.take(now)) is not None:
            self._send(batch)
        if self._alarm is not None:
            self._alarm.cancel()
        wake = self._queue.wake
        self._alarm = self._loop.call_at(wake, self._pump) if wake < inf else None

    def _send(self, batch: Batch) -> None:
        self._counted.sent(batch)
        task = self._tasks[batch] = spawn(self._run(batch), f"batch {self._backend}")
        task.add_done_callback(partial(self._over, batch))

    async def _run(self, batch: Batch) -> None:
        try:
            answer = await send(batch, self._backend, self._new_id)
            self._learn(batch, answer)
            self._deliver(batch, answer)
        except (Mismatch, Unmergeable) as why:
            self._mismatched(batch, str(why))
        except GatewayError as error:
            self._fail(batch, error)
        else:
            if answer.stream is not None:
                await ended(answer.stream)  # the model server is at work on it until then

    def _learn(self, batch: Batch, answer: Response) -> None:
        if answer.ok and answer.stream is None:
            self._cost.observe(batch.rows, self._clock() - batch.started)
            self._counted.learned(self._cost.fixed, self._cost.per_row)

    def _over(self, batch: Batch, _: object) -> None:
        """The slot is free. Who still waits does so because of a bug of ours, which the log has; but not for ever."""
        self._fail(batch, InternalError())
        del self._tasks[batch]
        self._counted.running.add(-1)
        self._queue.end(batch, self._clock())
        batch.entries.clear()  # they know it, too, and nothing shall be left for the garbage collector
        self._pump_soon()

    # What becomes of a batch.

    def _deliver(self, batch: Batch, answer: Response) -> None:
        """Raises Mismatch, and nobody has got anything then."""
        entries = batch.entries
        if len(entries) == 1:
            self._deliver_alone(entries[0], answer)
        elif answer.ok:
            answers = batch.lane.format.split(answer, [entry.member for entry in entries])
            for entry, own in zip(entries, answers, strict=True):
                self._settle(entry, own)
        elif self._policy.isolate_errors != "off" and can_be_a_row(answer):
            self._counted.isolated.add()
            part = entries[0].part
            case = part.case if part is not None else Case(len(entries))
            self._again(batch, parts(entries, self._policy.isolate_errors), case)
        else:
            for entry in entries:
                self._settle(entry, Response(answer.status, answer.headers, answer.body))

    def _deliver_alone(self, entry: Entry, answer: Response) -> None:
        if entry.part is not None and not answer.ok:
            self._convict(entry.lane.kind, entry.part, answer)
        self._settle(entry, answer)

    def _convict(self, kind: Kind, part: Part, answer: Response) -> None:
        """It failed with the others, and alone. When all do, and none of them is to blame, it is the model server."""
        part.case.guilty += 1
        if part.case.guilty == part.case.size and answer.status >= 500:
            kind.rest(self._clock() + SICK)

    def _mismatched(self, batch: Batch, why: str) -> None:
        """Nothing is sliced that does not add up: everyone is sent alone, and in the end always."""
        self._counted.mismatches.add()
        if batch.lane.kind.strike(self._clock()):
            self._counted.rests.add()
            log.warning("backend %s: %s; requests like these are not merged for %.0f s", self._backend, why, REST)
        self._again(batch, [[entry] for entry in batch.entries], Case(len(batch.entries)))

    def _again(self, batch: Batch, parts: list[list[Entry]], case: Case) -> None:
        self._queue.again(batch, parts, case)
        self._counted.depth.add(sum(not entry.gone for entry in batch.entries))

    def _fail(self, batch: Batch, error: GatewayError) -> None:
        """For those who still are in this batch; each gets an error of its own, which will say where it happened."""
        for entry in batch.entries:
            if entry.batch is batch and not entry.gone:
                self._leave(entry)
                if not entry.answer.done():
                    entry.answer.set_exception(copy(error))

    # Leaving.

    def _leave(self, entry: Entry) -> None:
        self._deadlines.discard(entry)
        self._queue.leave(entry)
        if entry.batch is None:
            self._counted.depth.add(-1)

    def _settle(self, entry: Entry, answer: Response) -> None:
        if not entry.gone:
            self._leave(entry)
        if entry.answer.done():
            answer.drop()
        else:
            entry.answer.set_result(sized(answer, entry.batch) if self._policy.report_size else answer)

    def _cancelled(self, entry: Entry, _: object) -> None:
        if not entry.gone:
            self._counted.dropped["cancelled"].add()
            self._give_up(entry)

    def _give_up(self, entry: Entry) -> None:
        """Its caller has left; a call that nobody wants any more is not worth its place."""
        self._leave(entry)
        batch = entry.batch
        if batch is not None and not batch.wanted and batch in self._tasks:
            self._tasks[batch].cancel()
        elif batch is None:
            self._pump_soon()  # what waited for company together with it may be due

    def _expire(self, entry: Entry, now: float) -> None:
        waited = f"{self._backend}: {(now - entry.since) * 1000:.0f} ms"
        if entry.batch is None:
            self._counted.dropped["deadline"].add()
            error: GatewayError = DeadlineExceeded(f"{waited} in the queue for batches")
        else:
            error = UpstreamTimeout(f"{waited} without an answer to its batch")
        if not entry.answer.done():
            entry.answer.set_exception(error)
        self._give_up(entry)

    # Keys that nobody uses.

    def _collect(self) -> None:
        if not self._collecting:
            self._collecting = True
            self._loop.call_later(IDLE, self._collected)

    def _collected(self) -> None:
        self._collecting = False
        known = len(self._queue.lanes)
        self._queue.forget_idle(self._clock())
        self._counted.keys.add(len(self._queue.lanes) - known)
        if self._queue.lanes:
            self._collect()
