"""Queue: what waits for a backend, and what is sent next. Plain code with the clock handed in.

The rule: a free slot is used at once, unless what is known of the traffic says that to wait for more pays; while none
is free, requests gather by themselves. All keys of a backend share its slots; the one that waits longest comes first,
where none is more urgent.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import ceil, inf
from typing import Final

from gateway.config.batch import Batch as Policy
from gateway.errors import QueueTooLong, UpstreamOverflow
from gateway.formats.format import Format
from gateway.service import Service

from .lane import Batch, Case, Entry, Lane
from .learnt import Learnt

KEYS: Final = 256
"""Keys that are known at once; a request of one more is not batched."""

IDLE: Final = 60.0
"""Seconds after which a key that nobody uses is forgotten."""

_MARGIN = 0.002
"""Seconds to spare for a request that is sent because its deadline is near."""

_INSTANT = 0.0005
"""Seconds; a timer may ring that much early."""


class Queue:
    """One backend's, in one worker: ``slots`` calls at once, ``capacity`` requests that may wait."""

    def __init__(self, policy: Policy, learnt: Learnt, slots: int, capacity: int) -> None:
        self.lanes: dict[Hashable, Lane] = {}
        self.waiting = 0
        """Requests."""
        self.wake = inf
        """When ``take`` is to be asked again, if nothing happens before."""
        self._policy = policy
        self._learnt = learnt
        self._cost = learnt.cost
        self._ranked = policy.priority_levels > 1
        self._slots = slots
        self._capacity = capacity
        self._rows = 0
        self._busy = 0
        self._freed = -inf
        self._ends: dict[Batch, float] = {}

    def __repr__(self) -> str:
        return f"<Queue waiting={self.waiting}/{self._capacity} running={self.running}/{self._slots} {self._cost!r}>"

    @property
    def running(self) -> int:
        """Batches under way."""
        return len(self._ends)

    def open(self, key: Hashable, call: Service, format: Format, now: float) -> Lane | None:
        """The lane of a ``key`` that is new; None if there are too many."""
        if len(self.lanes) >= KEYS and not self._room():
            return None
        lane = self.lanes[key] = Lane(call, format, self._learnt.kind(key), now)
        return lane

    def _room(self) -> bool:
        """Forget a key that is not in use just now."""
        unused = next((key for key, lane in self.lanes.items() if lane.idle and not lane.kind.strikes), None)
        if unused is not None:
            del self.lanes[unused]
        return unused is not None

    def forget_idle(self, now: float) -> None:
        """Forget the keys that nobody has used for a while, but not what is known against them."""
        for key, lane in list(self.lanes.items()):
            if lane.idle and lane.used <= now - IDLE and lane.kind.rest_until <= now:
                del self.lanes[key]

    # Coming and going.

    def join(self, entry: Entry, now: float) -> Entry | None:
        """Wait for a place in a batch. Whoever calls this makes the entry leave that is given back, to make room.

        Raises UpstreamOverflow, or QueueTooLong if it would come too late.
        """
        last = None
        if self.waiting >= self._capacity and (last := self._last_after(entry)) is None:
            raise UpstreamOverflow(f"{self.waiting} requests are waiting to be batched already", retry_after=1)
        if entry.deadline < now + self._longest(entry) and (self.waiting or self.running >= self._slots):
            self._check(entry, now)
        lane, rows = entry.lane, entry.member.rows
        self.waiting += 1
        self._rows += rows
        self._busy += not lane.rows
        lane.rows += rows
        lane.join(entry)
        lane.kind.rhythm.arrived(now, lane.rows)
        return last

    def _last_after(self, entry: Entry) -> Entry | None:
        """Who comes last of all that wait, if that is after ``entry``: no newcomer does unless it is less urgent."""
        if not self._ranked:
            return None
        ends = (lane.waiting[-1] for lane in self.lanes.values() if lane.head() is not None and lane.waiting)
        last = max(ends, key=lambda end: end.rank, default=None)
        return last if last is not None and last.rank > entry.rank else None

    def _longest(self, entry: Entry) -> float:
        """Seconds, at the very most, until its call would end: for most requests this tells enough."""
        calls, rows = self.waiting + self.running + 1, self._rows + entry.member.rows
        return calls * self._cost.fixed + (rows + self.running * self._policy.max_batch_size) * self._cost.per_row

    def _check(self, entry: Entry, now: float) -> None:
        wait = self._wait(entry, now)
        if now + wait + self._cost.of(entry.member.rows) > entry.deadline:
            left = (entry.deadline - now) * 1000
            detail = f"{left:.0f} ms are left, and what is before it takes about {wait * 1000:.0f} ms"
            raise QueueTooLong(detail, retry_after=max(ceil(wait), 1))

    def _wait(self, entry: Entry, now: float) -> float:
        """Seconds until all that is before it will have been sent, and one more batch can be; as far as can be told."""
        rows, keys = self._before(entry)
        if not rows:
            return max(min(self._ends.values()) - now, 0.0) if self.running >= self._slots else 0.0
        batches = max(ceil(rows / self._policy.max_batch_size), keys)
        under_way = sum(max(end - now, 0.0) for end in self._ends.values())
        return (under_way + batches * self._cost.fixed + rows * self._cost.per_row) / self._slots

    def _before(self, entry: Entry) -> tuple[int, int]:
        """The rows that wait and go before it, and at least how many keys they are of, as none are merged."""
        if not self._ranked:
            return self._rows, min(self._busy, self.waiting)
        found = [
            sum(other.member.rows for other in (*lane.parts, *lane.waiting) if _goes_before(other, entry))
            for lane in self.lanes.values()
        ]
        return sum(found), sum(rows > 0 for rows in found)

    def leave(self, entry: Entry) -> None:
        """Nobody waits for it any more, or it has its answer."""
        lane, rows = entry.lane, entry.member.rows
        entry.gone = True
        lane.rows -= rows
        self._busy -= not lane.rows
        if entry.batch is not None:
            entry.batch.wanted -= 1
            return
        self.waiting -= 1
        self._rows -= rows
        lane.absent += 1

    # Batches.

    def take(self, now: float) -> Batch | None:
        """The next batch to send, if there is one; else ``wake`` says when that may change by itself."""
        self.wake = inf
        if self.running >= self._slots or not self.waiting:
            return None
        best: Batch | None = None
        for lane in self.lanes.values():
            head = lane.head()
            if head is None or (best is not None and best.entries[0].rank <= head.rank):
                continue
            entries, rows, full = lane.candidates(self._policy.max_batch_size, now)
            oldest = min(entry.since for entry in entries) if self._ranked else head.since
            since = max(self._freed, oldest)
            due = since if full else self._due(lane, entries, rows, oldest)
            if due > now + _INSTANT:
                self.wake = min(self.wake, due)
            else:
                best = Batch(lane, entries, rows, now, now - since, len(entries))
        if best is not None:
            self._begin(best)
        return best

    def _due(self, lane: Lane, entries: list[Entry], rows: int, oldest: float) -> float:
        """When ``entries``, of which the first came at ``oldest``, are sent if nobody joins them."""
        policy, cost = self._policy, self._cost
        since = max(self._freed, oldest)
        if policy.linger == "off":
            return since
        if policy.linger == "fixed":  # as Triton does: from its arrival on, whether a slot was free or not
            due = oldest + policy.max_delay
        else:
            due = since + min(lane.kind.rhythm.linger(rows, policy.max_batch_size, cost.fixed), policy.max_delay)
        return min(due, min(entry.deadline for entry in entries) - cost.of(rows) - _MARGIN)

    def _begin(self, batch: Batch) -> None:
        lane = batch.lane
        line = lane.line
        for entry in batch.entries:
            line.popleft()
            entry.batch = batch
        self.waiting -= len(batch.entries)
        self._rows -= batch.rows
        lane.running += 1
        self._ends[batch] = batch.started + self._cost.of(batch.rows)

    def end(self, batch: Batch, now: float) -> None:
        """Its slot is free again; every entry has left, or waits again."""
        self._freed = now
        lane = batch.lane
        lane.running -= 1
        lane.used = now
        lane.kind.rhythm.finished(now, self._cost.fixed)
        del self._ends[batch]

    def again(self, batch: Batch, parts: list[list[Entry]], case: Case) -> None:
        """Send ``parts`` of a batch that has ended, each by itself and before all that waits of their key."""
        batch.lane.again(parts, case)
        waiting = [entry for entry in batch.entries if not entry.gone]
        self.waiting += len(waiting)
        self._rows += sum(entry.member.rows for entry in waiting)


def _goes_before(other: Entry, entry: Entry) -> bool:
    return other.rank <= entry.rank and not other.gone
