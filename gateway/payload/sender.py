"""The sender: one process that brings what the workers have spooled to the sinks. Only here are there HTTP clients.

When the control process is gone, a successor finds the rest in the spool; only what is in memory is sent yet.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import msgspec

from gateway.config.payload import Sink
from gateway.control.channel import Channel
from gateway.service import spawn
from gateway.telemetry import logs
from gateway.telemetry.metrics import Registry
from gateway.telemetry.segment import Segment

from .delivery import POLL, Delivery, prepare
from .dialect import dialect
from .lane import lock
from .orders import Configure, Flushed, Handed, ToSender
from .sinks import open_sink
from .spool import Spool

log = logging.getLogger("gateway")

NICE = 5
"""Where it has to share a core, requests come first: what waits for an hour may wait a moment longer."""


class Sending:
    """One sink at work, until it is stopped."""

    def __init__(self, name: str, sink: Sink, registry: Registry) -> None:
        self.sink = sink
        self._name = name
        self._registry = registry
        self._delivery: Delivery | None = None
        prepare(name, registry)
        self._task = spawn(self._run(), f"sink {name}", awaited=True)

    async def _run(self) -> None:
        directory = Path(self.sink.spool.path or "") / self._name
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = await self._lock(directory / "lock")
        try:
            spool = Spool(directory, self.sink.spool.max_bytes)
            delivery = Delivery(self._name, spool, open_sink(self.sink), dialect(self.sink), self._registry)
            self._delivery = delivery
            await delivery.run()
        finally:
            os.close(held)

    async def _lock(self, file: Path) -> int:
        """Wait for the sender of a former gateway to end."""
        while (held := lock(file)) is None:  # noqa: ASYNC110
            await asyncio.sleep(POLL)
        return held

    @property
    def failed(self) -> BaseException | None:
        """Why it ended by itself."""
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    def finished(self) -> bool:
        """Everything is sent, or the sink wants nothing more."""
        return self._delivery is not None and (self._delivery.gone or self._delivery.finished())

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


class Sender:
    """All sinks; ``run`` ends with the gateway."""

    def __init__(self, channel: Channel[ToSender, Flushed], registry: Registry) -> None:
        self._channel = channel
        self._registry = registry
        self._sending: dict[str, Sending] = {}
        self._orders = Configure({}, 0.0)

    async def run(self) -> None:
        """Obey until Flush, or until the control process is gone. Raises what a sink failed with, if that is a bug."""
        try:
            await self._obey()
        finally:
            for sending in self._sending.values():
                await sending.stop()
            await self._channel.close()

    async def _obey(self) -> None:
        while isinstance(order := await self._receive(), Configure):
            await self._configure(order)
        if order is not None:
            self._channel.send(Flushed(await self._finish(order.timeout)))
        elif self._orders.temporary:
            await self._finish(self._orders.linger)
            shutil.rmtree(self._orders.temporary, ignore_errors=True)

    async def _receive(self) -> ToSender | None:
        """The next order; None once the control process is gone. A sink that failed ends everything: better anew."""
        receiving = spawn(self._channel.receive(), "channel", awaited=True)
        try:
            while not receiving.done():
                await asyncio.wait([receiving], timeout=POLL)
                for sending in self._sending.values():
                    if (error := sending.failed) is not None:
                        raise error
            return receiving.result()
        finally:
            receiving.cancel()

    async def _configure(self, order: Configure) -> None:
        """Sinks that are described as before go on."""
        self._orders = order
        for name, sending in list(self._sending.items()):
            if order.sinks.get(name) != sending.sink:
                await self._sending.pop(name).stop()
        for name, sink in order.sinks.items():
            if name not in self._sending:
                self._sending[name] = Sending(name, sink, self._registry)

    async def _finish(self, seconds: float) -> bool:
        """Send for so long, or until nothing is left; whether that was so."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not (clean := self._finished()) and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(POLL / 2)
        return clean

    def _finished(self) -> bool:
        return all(sending.finished() for sending in self._sending.values())


async def serve(handed: Handed) -> None:
    """Be the sender, until the end."""
    streams = await asyncio.open_unix_connection(sock=socket.socket(fileno=handed.channel))
    registry = Registry(Segment.attach(handed.segment))
    await Sender(Channel(*streams, ToSender), registry).run()


def main() -> None:
    """``python -m gateway.payload.sender HANDED``, as the control process starts it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICE)
    handed = msgspec.json.decode(sys.argv[1], type=Handed)
    logs.start(handed.log_level)
    asyncio.run(serve(handed))


if __name__ == "__main__":
    main()
