import asyncio
import logging
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from gateway.config.schema import Config, Drain, Server, ServerTls
from gateway.control.channel import (
    Abort,
    Call,
    Channel,
    Commit,
    Describe,
    Description,
    Drained,
    Failed,
    FromWorker,
    Level,
    Prepare,
    Ready,
    Reopen,
    Serving,
    Stop,
    ToWorker,
    Unready,
    control_end,
    worker_end,
)
from gateway.control.channel import Drain as DrainCall
from gateway.http.arrival import Refusal
from gateway.message import Request, Response
from gateway.service import called
from gateway.worker import Parts, Worker


class FakeApp:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.retired = asyncio.Event()
        self.opened = False
        self.begun = 0

    async def __call__(self, request: Request) -> Response:
        return Response(200, [])

    async def open(self) -> None:
        self.opened = True

    def begin(self) -> None:
        assert self.opened
        self.begun += 1

    def refused(self, refusal: Refusal) -> None:
        """Never called here."""

    async def retire(self) -> None:
        self.retired.set()

    def describe(self) -> list[dict[str, object]]:
        return [{"graph": self.config.default_graph}]


class FakeServer:
    app: FakeApp
    note: Callable[[Refusal], None]

    def __init__(self) -> None:
        self.configured: list[Server] = []
        self.started: list[tuple[list[socket.socket], object]] = []
        self.drained: list[float] = []
        self.busy = asyncio.Event()
        self.busy.set()
        self.failure: OSError | None = None

    def configure(self, config: Server) -> None:
        self.configured.append(config)

    async def start(self, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        if self.failure is not None:
            raise self.failure
        self.started.append((sockets, tls))

    async def drain(self, timeout: float) -> bool:
        self.drained.append(timeout)
        await self.busy.wait()
        return timeout > 1


class FakeContext:
    def __init__(self, tls: ServerTls) -> None:
        if tls.cert_file == "bad":
            raise ssl.SSLError("no certificate")
        self.loaded: list[tuple[str, str]] = []

    def load_cert_chain(self, cert: str, key: str) -> None:
        if cert == "gone":
            raise FileNotFoundError(2, "No such file or directory", cert)
        self.loaded.append((cert, key))


class FakeReadiness:
    ready = True

    def __init__(self) -> None:
        self.done: list[str] = []

    def hand_on(self) -> None:
        self.done.append("hand on")


class Rig:
    """A worker made of fakes, with the control process's end of its channel."""

    def __init__(self, channel: Channel[FromWorker, ToWorker], end: Channel[ToWorker, FromWorker]) -> None:
        self.channel = channel
        self.server = FakeServer()
        self.readiness = FakeReadiness()
        self.apps: list[FakeApp] = []
        parts = Parts(self.build, lambda config: self.server, FakeContext, self.readiness)  # type: ignore[arg-type]
        self.worker = Worker(end, [], parts)
        self.running = asyncio.create_task(self.worker.run())

    def build(self, config: Config) -> FakeApp:
        if config.default_graph == "wrong":
            raise ValueError("it is wrong")
        if config.default_graph == "bug":
            raise KeyError("oops")
        self.apps.append(FakeApp(config))
        return self.apps[-1]

    async def ask(self, call: Call) -> FromWorker:
        self.channel.send(call)  # type: ignore[arg-type]
        answer = await self.channel.receive()
        assert answer is not None
        assert answer.id == call.id
        return answer

    async def prepare(self, generation: int, config: Config) -> FromWorker:
        return await self.ask(Prepare(10, generation=generation, config=msgspec.msgpack.encode(config)))

    async def serve(self, generation: int, config: Config) -> None:
        assert await self.prepare(generation, config) == Ready(10)
        assert await self.ask(Commit(11, generation=generation)) == Serving(11)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    ours, theirs = socket.socketpair()
    rig = Rig(await control_end(ours), await worker_end(theirs))
    yield rig
    rig.channel.send(Stop())
    await rig.running
    await rig.channel.close()


TLS = Config(server=Server(tls=ServerTls(cert_file="c", key_file="k")))


async def test_nothing_is_served_before_the_first_commit(rig: Rig) -> None:
    assert await rig.prepare(1, Config(default_graph="a")) == Ready(10)
    assert rig.server.started == []
    assert await rig.ask(Commit(11, generation=1)) == Serving(11)
    assert rig.server.started == [([], None)]
    assert rig.server.app == called(rig.apps[0])
    assert rig.server.note == rig.apps[0].refused


async def test_a_commit_swaps_generations_and_retires_the_old_one(rig: Rig) -> None:
    await rig.serve(1, Config(default_graph="a"))
    await rig.serve(2, Config(default_graph="b"))
    assert rig.server.app == called(rig.apps[1])
    assert rig.server.note == rig.apps[1].refused
    assert len(rig.server.started) == 1
    assert rig.server.configured == [Server()]
    await rig.apps[0].retired.wait()
    assert not rig.apps[1].retired.is_set()
    assert await rig.ask(Describe(12)) == Description(12, [{"graph": "b"}])


async def test_before_the_first_configuration_there_is_nothing_to_describe(rig: Rig) -> None:
    assert await rig.ask(Describe(1)) == Description(1, [])


@pytest.mark.parametrize(("graph", "line"), [("wrong", "ValueError: it is wrong"), ("bug", "KeyError: 'oops'")])
async def test_what_cannot_be_built_is_told_and_changes_nothing(rig: Rig, graph: str, line: str) -> None:
    await rig.serve(1, Config(default_graph="a"))
    assert await rig.prepare(2, Config(default_graph=graph)) == Failed(10, (line,))
    assert rig.server.app == called(rig.apps[0])
    assert not rig.apps[0].retired.is_set()


async def test_an_abort_retires_what_was_prepared(rig: Rig) -> None:
    await rig.serve(1, Config(default_graph="a"))
    await rig.prepare(2, Config(default_graph="b"))
    rig.channel.send(Abort(2))
    await rig.apps[1].retired.wait()
    assert await rig.ask(Commit(11, generation=2)) == Failed(11, ("generation 2 was not prepared",))
    assert rig.server.app == called(rig.apps[0])


async def test_an_abort_of_another_generation_is_ignored(rig: Rig) -> None:
    await rig.prepare(2, Config(default_graph="b"))
    rig.channel.send(Abort(1))
    assert await rig.ask(Commit(11, generation=2)) == Serving(11)


async def test_listeners_that_cannot_be_opened_are_told(rig: Rig) -> None:
    rig.server.failure = OSError(98, "Address already in use")
    await rig.prepare(1, Config())
    assert await rig.ask(Commit(11, generation=1)) == Failed(11, ("OSError: [Errno 98] Address already in use",))


async def test_certificates_are_read_again_into_the_context_that_listens(rig: Rig) -> None:
    await rig.serve(1, TLS)
    ((_, context),) = rig.server.started
    for generation in (2, 3):
        await rig.serve(generation, TLS)
    assert isinstance(context, FakeContext)
    assert context.loaded == [("c", "k"), ("c", "k")]


async def test_a_bad_certificate_is_found_before_anything_changes(rig: Rig) -> None:
    config = Config(server=Server(tls=ServerTls(cert_file="bad", key_file="k")))
    assert await rig.prepare(1, config) == Failed(10, ("SSLError: ('no certificate',)",))


async def test_a_certificate_that_vanishes_in_between_is_told(rig: Rig) -> None:
    await rig.serve(1, TLS)
    await rig.prepare(2, Config(server=Server(tls=ServerTls(cert_file="gone", key_file="k"))))
    answer = await rig.ask(Commit(11, generation=2))
    assert isinstance(answer, Failed)
    assert "No such file" in answer.errors[0]


async def test_unready_is_seen_on_the_data_port(rig: Rig) -> None:
    await rig.serve(1, Config())
    rig.channel.send(Unready())
    await rig.ask(Describe(1))
    assert not rig.readiness.ready


async def test_a_drain_tells_how_it_went_and_ends_the_worker(rig: Rig) -> None:
    await rig.serve(1, Config())
    assert await rig.ask(DrainCall(12, timeout=5)) == Drained(12, True)
    assert rig.server.drained == [5]
    assert not rig.readiness.ready
    await rig.running


async def test_a_drain_that_cut_something_off_says_so(rig: Rig) -> None:
    await rig.serve(1, Config())
    assert await rig.ask(DrainCall(12, timeout=1)) == Drained(12, False)


async def test_a_worker_without_a_configuration_drains_at_once(rig: Rig) -> None:
    assert await rig.ask(DrainCall(12, timeout=5)) == Drained(12, True)
    assert rig.server.drained == []


async def test_stop_does_not_wait_for_a_drain(rig: Rig) -> None:
    await rig.serve(1, Config())
    rig.server.busy.clear()
    rig.channel.send(DrainCall(12, timeout=5))
    await rig.ask(Describe(13))
    rig.channel.send(Stop())
    await rig.running
    rig.server.busy.set()


async def test_without_its_control_process_a_worker_finishes_what_it_has(rig: Rig) -> None:
    await rig.serve(1, Config(server=Server(drain=Drain(timeout=9.0))))
    await rig.channel.close()
    await rig.running
    assert rig.server.drained == [9.0]


def test_a_worker_does_not_carry_what_only_the_control_process_needs() -> None:
    script = """
import sys
import gateway.worker, gateway.compile, gateway.http.listener, gateway.http.tls, gateway.leases
print(*sorted({"aiohttp", "prometheus_client", "yaml"} & sys.modules.keys()))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


async def test_what_is_noted_is_handed_on_when_told_and_before_a_drain_is_reported(rig: Rig) -> None:
    await rig.serve(1, Config())
    rig.channel.send(Reopen())
    assert await rig.ask(DrainCall(12, timeout=5.0)) == Drained(12, True)
    assert rig.readiness.done == ["hand on", "hand on"]


async def test_the_level_of_the_log_changes_when_told(rig: Rig) -> None:
    before = logging.root.level
    try:
        rig.channel.send(Level("error"))
        await rig.ask(Describe(1))
        assert logging.root.level == logging.ERROR
    finally:
        logging.root.setLevel(before)


async def test_a_drain_ends_whatever_fails_on_its_way(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("the channel is closed")

    await rig.serve(1, Config())
    rig.readiness.hand_on = fail  # type: ignore[method-assign]
    await rig.channel.close()
    async with asyncio.timeout(10):
        await rig.running
    assert "the channel is closed" in caplog.text
