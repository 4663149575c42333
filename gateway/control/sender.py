"""The sender of payload events as the control process sees it: there while there are sinks, replaced when it dies."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence

import msgspec

from gateway.config.payload import Sink
from gateway.config.schema import Config
from gateway.payload.orders import Configure, Flush, Flushed, Handed, ToSender
from gateway.service import spawn
from gateway.telemetry.metrics import zero_gauges
from gateway.telemetry.segment import Segment

from .channel import Channel
from .process import environment
from .supervisor import Backoff

log = logging.getLogger("gateway")

COMMAND = (sys.executable, "-P", "-m", "gateway.payload.sender")
MEMORY = "/dev/shm"
GRACE = 2.0
"""Seconds that it may take to answer beyond the time it has to flush."""


class SenderProcess:
    """``file`` is the shared memory of its metrics."""

    def __init__(self, file: int, log_level: str, command: Sequence[str] = COMMAND) -> None:
        self._file = file
        self._log_level = log_level
        self._command = command
        self._orders = Configure({}, 0.0)
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel[Flushed, ToSender] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._temporary = ""

    def placed(self, config: Config) -> Config:
        """``config`` with a directory for every spool: in memory for those that the file gives none."""
        sinks = {name: self._placed(sink) for name, sink in config.payload_log.sinks.items()}
        if sinks == config.payload_log.sinks:
            return config
        return msgspec.structs.replace(config, payload_log=msgspec.structs.replace(config.payload_log, sinks=sinks))

    def configure(self, config: Config) -> None:
        """Send for the sinks of ``config``, which is placed."""
        self._orders = Configure(config.payload_log.sinks, config.server.drain.timeout, self._temporary)
        if self._channel is not None:
            self._channel.send(self._orders)
        elif self._keeper is None and config.payload_log.sinks:
            self._keeper = spawn(self._keep(), "sender")

    async def flush(self, timeout: float) -> bool:
        """Send what is left and end, within ``timeout`` seconds; False if something was left that will now be lost."""
        self._ending.set()
        if self._process is None or self._channel is None:
            return not self._temporary
        self._channel.send(Flush(timeout))
        answer = None
        try:
            async with asyncio.timeout(timeout + GRACE):
                answer = await self._channel.receive()
                await self._process.wait()
        except TimeoutError:
            pass
        clean = answer is not None and answer.clean
        if not clean:
            log.warning("payload log: not everything is sent%s", ", and lost" if self._temporary else "")
        return clean or not self._temporary

    async def close(self) -> None:
        """End it, now."""
        self._ending.set()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._keeper is not None:
            await asyncio.wait([self._keeper])
        if self._temporary:
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)

    def _placed(self, sink: Sink) -> Sink:
        if sink.spool.path is not None:
            return sink
        if not self._temporary:
            memory = MEMORY if os.access(MEMORY, os.W_OK) else None
            self._temporary = tempfile.mkdtemp(prefix="gateway-payload-", dir=memory)
        return msgspec.structs.replace(sink, spool=msgspec.structs.replace(sink.spool, path=self._temporary))

    async def _keep(self) -> None:
        """Have a sender until the end."""
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            began = loop.time()
            try:
                await self._live()
            except OSError as error:
                log.error("cannot start the sender of payload events: %s", error.strerror)
            zero_gauges(Segment.attach(self._file))
            try:
                async with asyncio.timeout(backoff.after(loop.time() - began)):
                    await self._ending.wait()
            except TimeoutError:
                pass

    async def _live(self) -> None:
        """One sender's life."""
        ours, theirs = socket.socketpair()
        with theirs:
            handed = Handed(theirs.fileno(), self._file, self._log_level)
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    msgspec.json.encode(handed).decode(),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=environment(),
                    pass_fds=(handed.channel, handed.segment),
                )
            except OSError:
                ours.close()
                raise
        self._process = process
        channel: Channel[Flushed, ToSender] = Channel(*await asyncio.open_unix_connection(sock=ours), Flushed)
        channel.send(self._orders)
        self._channel = channel
        if self._ending.is_set():
            process.kill()
        code = await process.wait()
        self._channel = None
        await channel.close()
        if not self._ending.is_set():
            log.error("the sender of payload events exited code=%d: starting another", code)
