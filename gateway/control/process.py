"""One worker process as the control process sees it: started by exec, spoken to over its channel, waited for."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import msgspec

from gateway.service import spawn
from gateway.telemetry.access import Lines
from gateway.telemetry.logs import Format

from .channel import Answer, AnyCall, Channel, Failed, FromWorker, Handed, Spans, ToWorker, Unasked, control_end
from .sockets import Port

COMMAND = (sys.executable, "-P", "-m", "gateway.worker")
"""``-P``: what lies about in the current directory is not to be imported; see ``environment``."""


Take = Callable[[Unasked], None]
"""Takes what a worker sends unasked."""


def ignore(message: Unasked) -> None:
    """Take it, and do nothing."""


class WorkerProcess:
    """A worker that runs, or did."""

    def __init__(
        self,
        slot: int,
        process: asyncio.subprocess.Process,
        channel: Channel[FromWorker, ToWorker],
        take: Take = ignore,
    ) -> None:
        self.slot = slot
        self._take = take
        self._process = process
        self._channel = channel
        self._ids = count(1)
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self.lost = False
        self._listening = spawn(self._listen(), f"worker {slot}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, message: ToWorker) -> None:
        """Send what needs no answer."""
        self._channel.send(message)

    async def ask(self, call: AnyCall, seconds: float) -> Answer:
        """The worker's answer; Failed when it is dead or takes longer than ``seconds``."""
        call.id = next(self._ids)
        if self.lost:
            return self._died(call.id)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[call.id] = answer
        self._channel.send(call)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            return Failed(call.id, (f"worker {self.slot} did not answer within {seconds:g} s",))
        finally:
            del self._asked[call.id]

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()

    async def ended(self) -> int:
        """Wait for its end; the exit code, or the negative number of the signal that killed it."""
        code = await self._process.wait()
        await asyncio.wait([self._listening])  # not awaited itself: whoever gives up on us must not cancel it
        await self._channel.close()
        return code

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, Spans | Lines):
                self._take(message)
            elif (asked := self._asked.get(message.id)) is not None and not asked.done():
                asked.set_result(message)
        self.lost = True
        for number, asked in self._asked.items():
            if not asked.done():
                asked.set_result(self._died(number))

    def _died(self, number: int) -> Failed:
        return Failed(number, (f"worker {self.slot} died",))

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.slot} pid={self.pid}{' lost' if self.lost else ''}>"


@dataclass(frozen=True)
class Launcher:
    """Starts workers: ``segments`` are the descriptors of the shared memory, by slot; ``ports`` what they listen on.

    ``take`` gets what they send unasked; ``traced``: spans, too.
    """

    segments: Sequence[int]
    ports: Sequence[Port]
    log_level: str
    command: Sequence[str] = COMMAND
    log_format: Format = "text"
    take: Take = ignore
    traced: bool = False

    async def __call__(self, slot: int) -> WorkerProcess:
        """A new worker for ``slot``; OSError where the system has no room for one."""
        sockets = tuple(port.of(slot).fileno() for port in self.ports)
        ours, theirs = socket.socketpair()
        with theirs:
            segment, logs = self.segments[slot], (self.log_level, self.log_format)
            handed = Handed(slot, len(self.segments), theirs.fileno(), segment, sockets, *logs, self.traced)
            try:
                process = await asyncio.create_subprocess_exec(
                    *self.command,
                    msgspec.json.encode(handed).decode(),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=environment(),
                    pass_fds=(handed.channel, handed.segment, *sockets),
                )
            except OSError:
                ours.close()
                raise
        return WorkerProcess(slot, process, await control_end(ours), self.take)


MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TOP_PAD_": str(1 << 20),
}
"""For glibc (mallopt(3)): what large bodies needed is kept for the next ones, up to 32 MiB. Giving it back after each,
as is the default, makes the kernel clear the same pages again and again: more than half the cost of a body of 1 MiB."""


def environment() -> dict[str, str]:
    """Ours, with our import path: the worker must run the same code, however we were started."""
    return {**MALLOC, **os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
