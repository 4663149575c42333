"""Keeps a worker alive in every slot and all of them on one generation of the configuration.

A generation is prepared everywhere before it is served anywhere. A worker that comes up meanwhile joins the others only
with the generation that is then in use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from gateway.service import spawn
from gateway.telemetry.metrics import Counter, Gauge, zero_gauges
from gateway.telemetry.segment import Segment

from .channel import Abort, Commit, Describe, Description, Drain, Drained, Failed, Level, Prepare, Reopen, Unready
from .process import WorkerProcess

log = logging.getLogger("gateway")
T = TypeVar("T")

PREPARE_TIMEOUT = 60.0
COMMIT_TIMEOUT = 30.0
DESCRIBE_TIMEOUT = 1.0
DRAIN_GRACE = 2.0
"""Seconds that a worker may take to answer, in a drain beyond the drain's own limit; then it counts as hung."""


class Generation(NamedTuple):
    """One version of the configuration, as workers receive it."""

    number: int
    config: bytes


class Backoff:
    """How long to wait before a worker is replaced: not at all, unless workers die as soon as they start."""

    FIRST, LONGEST, YOUNG = 0.1, 10.0, 1.0

    def __init__(self) -> None:
        self._next = self.FIRST

    def after(self, lived: float) -> float:
        """Seconds to wait after a worker that ``lived`` seconds."""
        if lived >= self.YOUNG:
            self._next = self.FIRST
            return 0.0
        delay, self._next = self._next, min(2 * self._next, self.LONGEST)
        return delay


class Supervisor:
    """The workers: ``launch(slot)`` starts one, ``segments`` has the shared memory of each slot."""

    def __init__(
        self,
        launch: Callable[[int], Awaitable[WorkerProcess]],
        segments: Sequence[Segment],
        restarts: Counter,
        alive: Gauge,
    ) -> None:
        self._launch = launch
        self._segments = segments
        self._restarts = restarts
        self._alive = alive
        self._workers: dict[int, WorkerProcess] = {}
        self._serving: dict[int, WorkerProcess] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._generation = Generation(0, b"")
        self._changing = asyncio.Lock()
        self._ready = True
        self._level: Level | None = None
        self._ending = asyncio.Event()

    @property
    def generation(self) -> int:
        """The number of the generation that is being served; it grows by one with each reload that succeeds."""
        return self._generation.number

    @property
    def serving(self) -> int:
        """How many workers serve."""
        return len(self._serving)

    def pids(self) -> dict[int, int]:
        """The process id of each worker, by slot; any thread may ask."""
        return {slot: worker.pid for slot, worker in self._workers.copy().items()}

    async def start(self, config: bytes) -> tuple[str, ...]:
        """Bring up every slot with ``config``; the errors of the first worker that cannot serve it, or none."""
        self._generation = Generation(1, config)
        loop = asyncio.get_running_loop()
        first: list[asyncio.Future[tuple[str, ...]]] = [loop.create_future() for _ in self._segments]
        self._keepers = [spawn(self._keep(slot, up), f"slot {slot}") for slot, up in enumerate(first)]
        for up in asyncio.as_completed(first):
            if errors := await up:
                return errors
        return ()

    async def reload(self, config: bytes) -> tuple[str, ...]:
        """Replace the generation everywhere; or, where one worker cannot, nowhere, and the errors."""
        async with self._changing:
            workers = [worker for worker in self._serving.values() if not worker.lost]
            new = Generation(self._generation.number + 1, config)
            errors = await self._prepare(workers, new)
            if errors:
                for worker in workers:
                    worker.tell(Abort(new.number))
            else:
                self._generation = new
                await all_of(self._commit(worker, new) for worker in workers)
            return errors

    def unready(self) -> None:
        """Have all workers, later ones too, say that they are not ready."""
        self._ready = False
        for worker in self._serving.values():
            worker.tell(Unready())

    async def reopen(self) -> None:
        """Have all workers hand on what waits for log files, and wait until they have."""
        for worker in self._workers.values():
            worker.tell(Reopen())
        await self.clusters()  # what answers that has done what it was told before

    def log_from(self, level: str) -> None:
        """Have all workers, later ones too, log from ``level`` up."""
        self._level = Level(level)
        for worker in self._serving.values():
            worker.tell(self._level)

    async def clusters(self) -> dict[int, list[dict[str, object]] | None]:
        """What each worker knows of its backends, by slot; None for one that does not answer in time."""
        workers = sorted(self._serving.items())
        answers = await all_of(worker.ask(Describe(), DESCRIBE_TIMEOUT) for _, worker in workers)
        return {
            slot: answer.clusters if isinstance(answer, Description) else None
            for (slot, _), answer in zip(workers, answers, strict=True)
        }

    async def drain(self, timeout: float) -> bool:
        """End every worker once it has answered what it has; False if requests were cut off after ``timeout`` seconds.

        From here on a worker that dies is not replaced.
        """
        self._ending.set()
        workers = list(self._serving.values())
        answers = await all_of(worker.ask(Drain(timeout=timeout), timeout + DRAIN_GRACE) for worker in workers)
        clean = [isinstance(answer, Drained) and answer.clean for answer in answers]
        await all_of(_within(DRAIN_GRACE, worker.ended()) for worker, well in zip(workers, clean, strict=True) if well)
        return all(clean)

    async def close(self) -> None:
        """End what is left, now."""
        self._ending.set()
        for worker in self._workers.values():
            worker.kill()
        if self._keepers:
            await asyncio.wait(self._keepers)

    async def _keep(self, slot: int, up: asyncio.Future[tuple[str, ...]]) -> None:
        """Have a worker in ``slot`` until the end; ``up`` gets the first one's errors."""
        backoff = Backoff()
        while True:
            lived = await self._live(slot, up)
            if self._ending.is_set() or await _within(backoff.after(lived), self._ending.wait()):
                return
            self._restarts.add()

    async def _live(self, slot: int, up: asyncio.Future[tuple[str, ...]]) -> float:
        """One worker's life; for how many seconds it lived, 0 if it never served."""
        began = asyncio.get_running_loop().time()
        try:
            worker = await self._launch(slot)
        except OSError as error:
            _tell(up, (f"cannot start worker {slot}: {error.strerror}",))
            return 0.0
        self._workers[slot] = worker
        try:
            if self._ending.is_set():
                return 0.0
            errors = await self._bring_up(worker)
            if not self._ending.is_set():
                _tell(up, errors)
            if errors:
                return 0.0
            code = await worker.ended()
            if not self._ending.is_set():
                log.error("worker %d exited code=%d pid=%d: starting another", slot, code, worker.pid)
            return asyncio.get_running_loop().time() - began
        finally:
            await self._bury(worker)

    async def _bring_up(self, worker: WorkerProcess) -> tuple[str, ...]:
        while True:
            generation = self._generation
            if errors := await self._prepare([worker], generation) or await self._commit(worker, generation):
                return errors
            async with self._changing:
                # A reload while it came up has passed it by: then it must catch up before it counts as one of us.
                if generation is self._generation:
                    self._serving[worker.slot] = worker
                    self._alive.set(len(self._serving))
                    if not self._ready:
                        worker.tell(Unready())
                    if self._level is not None:
                        worker.tell(self._level)
                    return ()

    async def _prepare(self, workers: Sequence[WorkerProcess], generation: Generation) -> tuple[str, ...]:
        number, config = generation
        answers = await all_of(
            worker.ask(Prepare(generation=number, config=config), PREPARE_TIMEOUT) for worker in workers
        )
        lines = (line for answer in answers if isinstance(answer, Failed) for line in answer.errors)
        return tuple(dict.fromkeys(lines))

    async def _commit(self, worker: WorkerProcess, generation: Generation) -> tuple[str, ...]:
        """Have ``worker`` serve what it has prepared; one that cannot is killed, and its successor will."""
        answer = await worker.ask(Commit(generation=generation.number), COMMIT_TIMEOUT)
        if not isinstance(answer, Failed):
            return ()
        worker.kill()
        return answer.errors

    async def _bury(self, worker: WorkerProcess) -> None:
        worker.kill()
        await worker.ended()
        self._workers.pop(worker.slot, None)
        self._serving.pop(worker.slot, None)
        self._alive.set(len(self._serving))
        zero_gauges(self._segments[worker.slot])


def _tell(up: asyncio.Future[tuple[str, ...]], errors: tuple[str, ...]) -> None:
    """The first worker's errors are the start's; those of its successors go to the log."""
    if not up.done():
        up.set_result(errors)
        return
    for line in errors:
        log.error("%s", line)


async def _within(seconds: float, end: Coroutine[Any, Any, object]) -> bool:
    """Wait for ``end``, but no longer; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await end
    except TimeoutError:
        return False
    return True


async def all_of(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all of it at once; the results in order."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
    return [task.result() for task in tasks]
