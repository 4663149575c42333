"""One data-plane process: serve, swap generations, drain. What to do when is the control process's decision.

Imports here are paid for by every worker: no aiohttp, no YAML, no prometheus_client.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
import uvloop

from .config.schema import Config, ServerTls
from .config.schema import Server as ServerConfig
from .control.channel import (
    Abort,
    Channel,
    Commit,
    Describe,
    Description,
    Drain,
    Drained,
    Failed,
    FromWorker,
    Handed,
    Level,
    Prepare,
    Ready,
    Reopen,
    Serving,
    Spans,
    Stop,
    ToWorker,
    Unasked,
    Unready,
    worker_end,
)
from .errors import GatewayError
from .message import Request, Response
from .service import called, spawn
from .telemetry import logs
from .telemetry.lag import Lag
from .telemetry.metrics import Registry
from .telemetry.segment import Segment
from .telemetry.tracing import start_tracing

if TYPE_CHECKING:
    from .http.arrival import Refusal

log = logging.getLogger("gateway")

BACKLOG = 4 << 20
"""Bytes that may wait for the control process before spans and lines of the access log are dropped."""


class App(Protocol):
    """One generation of the configuration, ready to answer."""

    def __call__(self, request: Request, /) -> Awaitable[Response]: ...
    async def open(self) -> None: ...
    def begin(self) -> None: ...
    def refused(self, refusal: Refusal, /) -> None: ...
    async def retire(self) -> None: ...
    def describe(self) -> list[dict[str, object]]: ...


class Server(Protocol):
    """The data port of this process."""

    app: Callable[[Request], Awaitable[Response]]
    note: Callable[[Refusal], None]

    def configure(self, config: ServerConfig, /) -> None: ...
    async def start(self, sockets: list[socket.socket], tls: ssl.SSLContext | None, /) -> None: ...
    async def drain(self, timeout: float, /) -> bool: ...


class Readiness(Protocol):
    """What outlives a generation, as far as this file cares."""

    ready: bool

    def hand_on(self) -> None: ...


class Parts(NamedTuple):
    """What a worker is made of."""

    compile: Callable[[Config], App]
    server: Callable[[ServerConfig], Server]
    tls: Callable[[ServerTls], ssl.SSLContext]
    readiness: Readiness


class Prepared(NamedTuple):
    """A generation that is built and not served yet."""

    generation: int
    config: Config
    app: App
    tls: ssl.SSLContext | None


class Worker:
    """Does what the channel says, until its end."""

    def __init__(self, channel: Channel[ToWorker, FromWorker], sockets: Sequence[socket.socket], parts: Parts) -> None:
        self._channel = channel
        self._sockets = list(sockets)
        self._parts = parts
        self._prepared: Prepared | None = None
        self._current: Prepared | None = None
        self._server: Server | None = None
        self._draining = False
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Obey until Drain or Stop, or until the control process is gone: what is in flight is finished then, too."""
        obeying = spawn(self._obey(), "channel")
        await self._ended.wait()
        obeying.cancel()
        await self._channel.close()

    async def _obey(self) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                await self._do(message)
        except Exception:
            # Without its channel a worker is of no use: better a new one.
            log.exception("the channel failed")
        if not self._draining:
            log.warning("the control process is gone: draining")
            await self._drain(self._current.config.server.drain.timeout if self._current else 0.0)

    async def _do(self, message: ToWorker) -> None:
        match message:
            case Prepare():
                self._channel.send(await self._prepare(message))
            case Commit():
                self._channel.send(await self._commit(message))
            case Abort():
                self._abort(message.generation)
            case Describe():
                clusters = self._current.app.describe() if self._current else []
                self._channel.send(Description(message.id, clusters))
            case Unready():
                self._parts.readiness.ready = False
            case Reopen():
                self._parts.readiness.hand_on()
            case Level():
                logs.set_level(message.level)
            case Drain():
                spawn(self._drain(message.timeout, message.id), "drain")
            case Stop():
                self._ended.set()

    async def _prepare(self, message: Prepare) -> Ready | Failed:
        try:
            config = msgspec.msgpack.decode(message.config, type=Config)
            tls = self._parts.tls(config.server.tls) if config.server.tls else None
            app = self._parts.compile(config)
        except (GatewayError, OSError, ValueError) as error:
            return Failed(message.id, (_line(error),))
        except Exception as error:
            log.exception("generation %d cannot be built", message.generation)
            return Failed(message.id, (_line(error),))
        await app.open()
        self._prepared = Prepared(message.generation, config, app, tls)
        return Ready(message.id)

    def _abort(self, generation: int) -> None:
        if self._prepared is not None and self._prepared.generation == generation:
            spawn(self._prepared.app.retire(), "retire")
            self._prepared = None

    async def _commit(self, message: Commit) -> Serving | Failed:
        new, self._prepared = self._prepared, None
        if new is None or new.generation != message.generation:
            return Failed(message.id, (f"generation {message.generation} was not prepared",))
        try:
            if self._server is None or self._current is None:
                await self._start(new)
            else:
                self._swap(self._server, self._current, new)
            new.app.begin()
        except OSError as error:
            return Failed(message.id, (_line(error),))
        return Serving(message.id)

    async def _start(self, new: Prepared) -> None:
        self._server = self._parts.server(new.config.server)
        self._server.app, self._server.note = called(new.app), new.app.refused
        await self._server.start(self._sockets, new.tls)
        self._current = new
        # What is there now stays: no collection need ever look at it again.
        gc.collect()
        gc.freeze()
        # A request makes no cycles but many objects that end with it: looking for cycles every 700 of them costs 5 %.
        gc.set_threshold(20_000, 10, 10)

    def _swap(self, server: Server, old: Prepared, new: Prepared) -> None:
        if old.tls is not None and (tls := new.config.server.tls) is not None:
            # Into the context that the listeners hold; handshakes under way keep the certificate they began with.
            old.tls.load_cert_chain(tls.cert_file, tls.key_file)
        server.configure(new.config.server)
        server.app, server.note = called(new.app), new.app.refused
        self._current = new._replace(tls=old.tls)
        spawn(old.app.retire(), "retire")

    async def _drain(self, timeout: float, call: int = 0) -> None:
        self._draining = True
        self._parts.readiness.ready = False
        try:
            clean = await self._server.drain(timeout) if self._server is not None else True
            self._parts.readiness.hand_on()  # before it is said: it may be the end of us
            self._channel.send(Drained(call, clean))
        finally:
            self._ended.set()


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def serve(handed: Handed) -> None:
    """Be the worker that ``handed`` describes, until its end."""
    from .compile import compile_app
    from .http.listener import Server as HttpServer
    from .http.tls import server_context
    from .leases import Leases

    registry = Registry(Segment.attach(handed.segment))
    Lag(registry)
    channel = await worker_end(socket.socket(fileno=handed.channel))
    send = partial(_send, channel)
    tracer = None
    if handed.traced:
        tracer = start_tracing(os.environ, registry, lambda count, spans: send(Spans(count, spans)))
    leases = Leases(tracer, send)
    sockets = [socket.socket(fileno=descriptor) for descriptor in handed.sockets]
    parts = Parts(
        compile=lambda config: compile_app(config, leases, registry, handed.workers),
        server=lambda config: HttpServer(config, registry, handed.workers, leases.buffers),
        tls=server_context,
        readiness=leases,
    )
    await Worker(channel, sockets, parts).run()
    await leases.close()


def _send(channel: Channel[ToWorker, FromWorker], message: Unasked) -> bool:
    if channel.backlog > BACKLOG:
        return False
    channel.send(message)
    return True


def main() -> None:
    """``python -m gateway.worker HANDED``, as the control process starts it."""
    # A terminal or a service manager signals the whole group; the control process then tells us what to do.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    handed = msgspec.json.decode(sys.argv[1], type=Handed)
    logs.start(handed.log_level, handed.log_format, worker=handed.slot)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(handed))


if __name__ == "__main__":
    main()
