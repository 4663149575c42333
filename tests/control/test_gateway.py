import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.config.report import ConfigError, ConfigErrors
from gateway.config.schema import Admin, Config, Drain, Server
from gateway.control.gateway import Gateway
from gateway.control.run import run
from gateway.control.sockets import Port, open_ports
from gateway.telemetry.logs import Format

TOY = (sys.executable, "-P", "-m", "tests.support.toy_worker")


class Toy:
    """A command line whose configuration a test can change."""

    log_level = "warning"
    log_format: Format = "text"

    def __init__(self, graph: str, delay: float = 0.0, timeout: float = 30.0) -> None:
        self.server = Server(drain=Drain(delay=delay, timeout=timeout))
        self.graph = graph
        self.errors: list[ConfigError] = []
        self.admin = Admin(listen="127.0.0.1:0")

    def load(self, environ: Mapping[str, str]) -> Config:
        if self.errors:
            raise ConfigErrors(self.errors)
        return Config(server=self.server, admin=self.admin, default_graph=self.graph)


class Running:
    """A gateway with two toy workers."""

    def __init__(self, options: Toy) -> None:
        self.options = options
        (self.port,) = open_ports(["127.0.0.1:0"], 2)
        (self.admin,) = open_ports(["127.0.0.1:0"], 1)
        self.gateway = Gateway(options, options.load({}), [self.port], [self.admin], 2, TOY)
        self.ending = asyncio.create_task(self.gateway.run())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def ready(self) -> None:
        await self.until(lambda: all(self.gateway.checks().values()) and self.gateway._site is not None)

    async def ask(self) -> str:
        reader, writer = await _connect(self.port)
        answer = await reader.read()
        writer.close()
        return answer.decode().partition(" ")[2]

    async def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        async with aiohttp.request(method, f"http://{self.admin.name}{path}") as answer:
            return answer.status, await answer.text()

    async def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", (await self.get("/metrics"))[1], re.MULTILINE)
        assert found is not None, name
        return float(found[1])


async def _connect(port: Port) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*port.sockets[0].getsockname())


@asynccontextmanager
async def running(graph: str = "one", delay: float = 0.0, timeout: float = 30.0) -> AsyncIterator[Running]:
    toy = Running(Toy(graph, delay, timeout))
    try:
        await toy.ready()
        yield toy
    finally:
        toy.ending.cancel()
        await asyncio.wait([toy.ending])


async def test_it_serves_and_shows_itself() -> None:
    async with running() as toy:
        assert await toy.ask() == "one"
        assert await toy.get("/readyz") == (200, "ok\n")
        assert (await toy.get("/clusters"))[1].count("toy") == 2
        assert '"defaultGraph": "one"' in (await toy.get("/config"))[1]
        assert await toy.metric("gateway_workers") == 2
        assert await toy.metric("gateway_connections_accepted_total") == 1
        assert await toy.metric('gateway_worker_memory_bytes{worker="1"}') > 0
        assert abs(await toy.metric("gateway_config_last_reload_success_timestamp_seconds") - time.time()) < 60
        toy.gateway.drain()
        assert await toy.ending == 0


async def test_a_reload_changes_what_is_served() -> None:
    async with running() as toy:
        toy.options.graph = "two"
        assert await toy.get("/-/reload", "POST") == (200, "reloaded\n")
        assert await toy.ask() == "two"
        assert await toy.metric('gateway_config_reloads_total{result="success"}') == 1


async def test_a_configuration_with_errors_is_not_loaded() -> None:
    async with running() as toy:
        toy.options.errors = [ConfigError("f.yaml", 1, 2, "a", "wrong"), ConfigError("f.yaml", 3, 4, "b", "wrong")]
        assert await toy.get("/-/reload", "POST") == (400, "f.yaml:1:2: a: wrong\nf.yaml:3:4: b: wrong\n")
        assert await toy.ask() == "one"
        assert await toy.metric("gateway_config_last_reload_successful") == 0
        assert await toy.metric('gateway_config_reloads_total{result="failure"}') == 1
        toy.options.errors = []
        assert (await toy.get("/-/reload", "POST"))[0] == 200
        assert await toy.metric("gateway_config_last_reload_successful") == 1


async def test_a_reload_that_needs_a_restart_says_so() -> None:
    async with running() as toy:
        toy.options.admin = Admin(listen="127.0.0.1:1")
        assert await toy.get("/-/reload", "POST") == (400, "admin.listen: changed, which needs a restart\n")


async def test_a_reload_that_the_workers_refuse_changes_nothing() -> None:
    async with running() as toy:
        toy.options.graph = "broken"
        assert await toy.get("/-/reload", "POST") == (500, "ValueError: cannot be built\n")
        assert await toy.ask() == "one"


async def test_a_reload_that_kills_the_workers_is_given_up_and_they_come_back() -> None:
    async with running() as toy:
        toy.options.graph = "deadly"
        status, text = await toy.get("/-/reload", "POST")
        assert status == 500
        assert "died" in text
        await toy.until(lambda: toy.gateway._supervisor.serving == 2)
        assert await toy.ask() == "one"


async def test_hup_reloads() -> None:
    async with running() as toy:
        toy.options.graph = "two"
        os.kill(os.getpid(), signal.SIGHUP)
        await toy.until(lambda: toy.gateway.config.default_graph == "two")


async def test_counters_survive_the_worker_that_counted() -> None:
    async with running() as toy:
        for _ in range(20):
            await toy.ask()
        before = toy.gateway._supervisor.pids()
        os.kill(before[0], signal.SIGKILL)
        await toy.until(lambda: toy.gateway._supervisor.pids().get(0, before[0]) != before[0])
        await toy.until(lambda: toy.gateway._supervisor.serving == 2)
        await toy.ask()
        assert await toy.metric("gateway_connections_accepted_total") == 21
        assert await toy.metric("gateway_worker_restarts_total") == 1


async def test_a_start_that_fails_is_exit_code_one(caplog: pytest.LogCaptureFixture) -> None:
    assert await Running(Toy("broken")).ending == 1
    assert "cannot be built" in caplog.text


async def test_a_signal_during_the_start_ends_it() -> None:
    toy = Running(Toy("one"))
    toy.gateway.drain()
    assert await toy.ending == 0


async def test_a_drain_is_not_ready_yet_accepts_until_its_delay_has_passed() -> None:
    async with running(delay=30.0) as toy:
        assert await toy.get("/-/drain", "POST") == (202, "draining\n")
        await toy.until(lambda: not toy.gateway.checks()["shutdown"])
        assert (await toy.get("/readyz"))[0] == 503
        assert await toy.ask() == "one"
        assert (await toy.get("/-/reload", "POST"))[0] == 503
        os.kill(os.getpid(), signal.SIGTERM)
        assert await toy.get("/livez") == (200, "ok\n")  # a first signal after POST /-/drain is not a second one
        os.kill(os.getpid(), signal.SIGTERM)
        assert await toy.ending == 0


async def test_a_drain_that_must_cut_something_off_is_exit_code_three() -> None:
    async with running("held", timeout=0.05) as toy:
        reader, writer = await _connect(toy.port)
        await reader.readline()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await toy.ending == 3
        writer.close()


async def test_a_second_signal_ends_it_now() -> None:
    async with running("held", timeout=600.0) as toy:
        reader, writer = await _connect(toy.port)
        await reader.readline()
        os.kill(os.getpid(), signal.SIGINT)
        await toy.until(lambda: toy.gateway._supervisor._ending.is_set())
        os.kill(os.getpid(), signal.SIGTERM)
        assert await toy.ending == 3
        writer.close()


def test_run_refuses_what_it_cannot_start_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = Toy("one")
    options.errors = [ConfigError("f.yaml", 1, 2, "a", "wrong")]
    assert run(options) == 1
    options.errors = []
    (tmp_path / "file").touch()
    options.admin = Admin(listen=f"unix:{tmp_path / 'file'}")
    assert run(options) == 1
    errors = capsys.readouterr().err
    assert " ERROR f.yaml:1:2: a: wrong\n" in errors
    assert f" ERROR cannot listen on unix:{tmp_path / 'file'}: address already in use\n" in errors
