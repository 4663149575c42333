"""The control process: it starts the workers and the admin site, reloads on request, and drains at the end."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway import __version__
from gateway.config.report import ConfigErrors
from gateway.config.schema import Config
from gateway.service import spawn
from gateway.telemetry import logs
from gateway.telemetry.metrics import Registry
from gateway.telemetry.segment import Segment, create

from .intake import Intake
from .notify import Notify
from .process import COMMAND, Launcher
from .reload import Outcome, Reloads, restart_only
from .sender import SenderProcess
from .sockets import Port
from .supervisor import Supervisor

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.telemetry.exposition import Exposition

log = logging.getLogger("gateway")

AT_ONCE = 0.1
"""Seconds that a drain may take after a second signal: enough to tell whether anything was cut short."""


class Options(Protocol):
    """The command line."""

    @property
    def log_level(self) -> str: ...
    @property
    def log_format(self) -> logs.Format: ...
    def load(self, environ: Mapping[str, str], /) -> Config: ...


class Gateway:
    """One run of the gateway, from listening sockets to exit code."""

    def __init__(
        self,
        options: Options,
        config: Config,
        ports: Sequence[Port],
        admin: Sequence[Port],
        workers: int,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.config = config
        self._options = options
        self._ports = ports
        self._admin = admin
        files = [create(f"gateway-metrics-{slot}") for slot in range(workers)]
        segments = [Segment.attach(file) for file in files]
        self._registry = Registry.private()
        events = create("gateway-metrics-payload")
        self._sender = SenderProcess(events, options.log_level)
        self._segments = [self._registry.segment, *segments, Segment.attach(events)]
        self._intake = Intake(os.environ, self._registry, workers)
        self._supervisor = Supervisor(
            Launcher(
                files, ports, options.log_level, command, options.log_format, self._intake.take, self._intake.traced
            ),
            segments,
            self._registry.counter("gateway_worker_restarts_total"),
            self._registry.gauge("gateway_workers"),
        )
        self._reloads = Reloads(self._reload)
        self._notify = Notify(os.environ)
        self._exposition: Exposition | None = None
        self._site: web.AppRunner | None = None
        self._started = asyncio.Event()
        self._ending = asyncio.Event()
        self._now = asyncio.Event()
        self._signalled = False

    async def run(self) -> int:
        """Serve until a signal, or ``POST /-/drain``, ends it; the exit code."""
        self._obey_signals()
        watchdog = spawn(self._notify.watchdog(), "watchdog")
        try:
            return await self._life()
        finally:
            watchdog.cancel()
            await self._supervisor.close()
            await self._sender.close()
            await self._intake.close()
            if self._site is not None:
                await self._site.cleanup()
            for port in (*self._ports, *self._admin):
                port.close()

    def _obey_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reloads.request)
        loop.add_signal_handler(signal.SIGUSR1, lambda: spawn(self._reopen(), "reopen"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate)

    async def _reopen(self) -> None:
        await self._supervisor.reopen()  # what was noted until now is in the old files
        self._intake.reopen()

    def _terminate(self) -> None:
        # Counted apart from POST /-/drain: a preStop hook that drains must not make Kubernetes' SIGTERM mean "now".
        if self._signalled:
            self._now.set()
        self._signalled = True
        self.drain()

    async def _life(self) -> int:
        start = spawn(self._start(), "start", awaited=True)
        ending = spawn(self._ending.wait(), "end")
        await asyncio.wait([start, ending], return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            return 0
        if errors := start.result():
            _log_all(errors)
            return 1
        await ending
        return 0 if await self._drain() else 3

    async def _start(self) -> tuple[str, ...]:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve())
            group.create_task(self._open_site())
        if not serving.result():
            self._notify.ready()
        return serving.result()

    async def _serve(self) -> tuple[str, ...]:
        """Bring up the workers; the errors if they cannot serve."""
        placed = self._sender.placed(self.config)
        if errors := self._intake.open(self.config):
            return errors
        errors = await self._supervisor.start(msgspec.msgpack.encode(placed))
        if not errors:
            self._sender.configure(placed)
            self._registry.gauge("gateway_build_info", version=__version__, python=platform.python_version()).set(1)
            for result in ("success", "failure"):
                self._registry.counter("gateway_config_reloads_total", result=result)
            self._loaded(True)
            for port in self._ports:
                log.info("listening on %s", port.name)
            self._started.set()
        return errors

    async def _open_site(self) -> None:
        # A third of a second to import, in which the workers start; and they shall not have it in their memory.
        await asyncio.to_thread(_import_site)
        from gateway.telemetry.exposition import Exposition

        from .admin import open_site

        self._exposition = Exposition(self._segments, self._supervisor.pids)
        self._site = await open_site(self, [sock for port in self._admin for sock in port.sockets])
        for port in self._admin:
            log.info("admin site on %s", port.name)

    # What the admin site shows and starts.

    def checks(self) -> dict[str, bool]:
        """What readiness depends on."""
        return {
            "configuration": self._started.is_set(),
            "workers": self._supervisor.serving > 0,
            "shutdown": not self._ending.is_set(),
        }

    def page(self, accept: str) -> tuple[bytes, str]:
        """The metrics, and their content type; any thread may ask."""
        assert self._exposition is not None
        return self._exposition.render(accept)

    async def clusters(self) -> dict[int, list[dict[str, object]] | None]:
        return await self._supervisor.clusters()

    async def reload(self) -> Outcome:
        return await asyncio.shield(self._reloads.request())

    def log_from(self, level: str) -> None:
        """Log from ``level`` up, here and in the workers, later ones too."""
        logs.set_level(level)
        self._supervisor.log_from(level)

    def drain(self) -> None:
        """Begin the end; again is no different from once."""
        self._ending.set()

    # Reload.

    async def _reload(self) -> Outcome:
        await self._started.wait()
        if self._ending.is_set():
            # Nothing went wrong, and systemd, which knows that we are stopping, must not hear READY=1.
            return Outcome(503, ("the gateway is draining",))
        self._notify.reloading()
        outcome = await self._replace()
        self._notify.ready()
        good = outcome.status == 200
        self._registry.counter("gateway_config_reloads_total", result="success" if good else "failure").add()
        self._loaded(good)
        _log_all(outcome.errors)
        state = "reloaded" if good else "reload failed, the configuration stays:"
        log.log(
            logging.INFO if good else logging.ERROR,
            "%s generation=%d graphs=%d backends=%d",
            *(state, self._supervisor.generation, len(self.config.graphs), len(self.config.backends)),
        )
        return outcome

    async def _replace(self) -> Outcome:
        try:
            new = await asyncio.to_thread(self._options.load, os.environ)
        except ConfigErrors as failure:
            return Outcome(400, tuple(map(str, failure.errors)))
        if errors := tuple(restart_only(self.config, new)):
            return Outcome(400, errors)
        placed = self._sender.placed(new)
        if errors := self._intake.open(new):
            return Outcome(500, errors)
        errors = await self._supervisor.reload(msgspec.msgpack.encode(placed))
        if not errors:
            self._sender.configure(placed)
            self.config = new
        self._intake.keep(self.config)
        return Outcome(500 if errors else 200, errors)

    def _loaded(self, good: bool) -> None:
        self._registry.gauge("gateway_config_last_reload_successful").set(float(good))
        if good:
            self._registry.gauge("gateway_config_last_reload_success_timestamp_seconds").set(time.time())

    # The end.

    async def _drain(self) -> bool:
        """Not ready for a while, then no new connections, then the end; True if every request was answered."""
        delay, limit = self.config.server.drain.delay, self.config.server.drain.timeout
        log.info("draining delay=%gs timeout=%gs", delay, limit)
        self._notify.stopping()
        self._supervisor.unready()
        if await self._cut_short_within(delay):
            limit = AT_ONCE
        # Ours first: the workers close the same sockets last, and take what has connected until then.
        for port in self._ports:
            port.close()
        clean = await self._finish(limit)
        log.log(logging.INFO if clean else logging.WARNING, "drained" if clean else "drain cut short")
        return clean

    async def _cut_short_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._now.wait()
        except TimeoutError:
            return False

    async def _finish(self, limit: float) -> bool:
        finishing = spawn(self._end(limit), "drain", awaited=True)
        if limit > AT_ONCE:
            now = spawn(self._now.wait(), "now")
            await asyncio.wait([finishing, now], return_when=asyncio.FIRST_COMPLETED)
            if not finishing.done():
                finishing.cancel()
                return False
        return await finishing

    async def _end(self, limit: float) -> bool:
        """The workers first: what they log last is sent as well."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        clean = await self._supervisor.drain(limit)
        return await self._sender.flush(max(AT_ONCE, end - loop.time())) and clean


def _import_site() -> None:
    import gateway.control.admin
    import gateway.telemetry.exposition  # noqa: F401


def _log_all(errors: Sequence[str]) -> None:
    for line in errors:
        log.error("%s", line)
