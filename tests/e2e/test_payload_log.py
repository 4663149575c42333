"""The payload log of a real gateway: a sink that is down, and deaths meanwhile."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.running import Model, RunningGateway, Serve, configuration, predict, write

pytestmark = pytest.mark.e2e
Models = tuple[Model, Model]
RECORDED = 'gateway_payload_log_events_total{result="recorded"'


class Collector:
    """A receiver of events that can be ``down``."""

    def __init__(self) -> None:
        self.ids: Counter[str] = Counter()
        self.down = False
        app = web.Application()
        app.router.add_post("/", self._take)
        self.server = TestServer(app)

    async def _take(self, request: web.Request) -> web.Response:
        await request.read()
        if self.down:
            return web.Response(status=503)
        self.ids[request.headers["ce-id"]] += 1
        return web.Response(status=204)

    async def has(self, count: int) -> None:
        """Wait until that many events have arrived."""
        async with asyncio.timeout(30):
            while len(self.ids) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    await collector.server.start_server()
    yield collector
    await collector.server.close()


def logged(model: Model, collector: Collector, spool: Path | None, *, workers: int = 2) -> str:
    """One graph, all of it logged."""
    where = f"spool: {{path: {spool}}}" if spool else ""
    sink = f"{{type: http, url: '{collector.server.make_url('/')}', {where}}}"
    text = configuration(model.url, drain="{delay: 0s, timeout: 30s}", workers=workers)
    text = text.replace("  m: {nodes:", "  m: {payloadLog: {sink: audit}, nodes:")
    return f"{text}payloadLog: {{sinks: {{audit: {sink}}}}}\n"


def is_worker(pid: int) -> bool:
    return b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


async def requests(gateway: RunningGateway, count: int) -> None:
    for _ in range(count):
        assert await predict(gateway.data) == (200, "one")


async def recorded(gateway: RunningGateway, count: int) -> None:
    """Wait until that many events are in the spool."""
    async with asyncio.timeout(30):
        while await gateway.metric(RECORDED) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_after_an_outage_every_event_arrives_once(
    serve: Serve, models: Models, collector: Collector, tmp_path: Path
) -> None:
    gateway = await serve(logged(models[0], collector, tmp_path / "spool"))
    await requests(gateway, 5)
    await collector.has(10)
    collector.down = True
    await requests(gateway, 20)
    await recorded(gateway, 50)
    await gateway.logs("sink=audit fails, events wait in the spool: status 503")
    collector.down = False
    await collector.has(50)
    await gateway.logs("sink=audit takes events again")
    assert set(collector.ids.values()) == {1}
    assert await gateway.metric("gateway_payload_log_dropped_total") == 0


async def test_a_workers_death_loses_nothing_of_what_is_in_the_spool(
    serve: Serve, models: Models, collector: Collector, tmp_path: Path
) -> None:
    gateway = await serve(logged(models[0], collector, tmp_path / "spool", workers=1))
    collector.down = True
    await requests(gateway, 10)
    await recorded(gateway, 20)
    (worker,) = list(filter(is_worker, gateway.workers()))
    os.kill(worker, signal.SIGKILL)
    await gateway.logs("exited code=-9")
    await requests(gateway, 10)
    collector.down = False
    await collector.has(40)
    assert len(collector.ids) == 40


async def test_a_gateway_that_is_killed_during_an_outage_sends_after_its_restart(
    serve: Serve, models: Models, collector: Collector, tmp_path: Path
) -> None:
    text = logged(models[0], collector, tmp_path / "spool")
    gateway = await serve(text)
    collector.down = True
    await requests(gateway, 10)
    await recorded(gateway, 20)
    for pid in (*gateway.workers(), gateway.process.pid):
        os.kill(pid, signal.SIGKILL)
    await gateway.ended()
    collector.down = False
    assert not collector.ids
    successor = await serve(text)
    await collector.has(20)
    await requests(successor, 5)
    await collector.has(30)
    assert set(collector.ids.values()) == {1}


async def test_a_drain_flushes(serve: Serve, models: Models, collector: Collector) -> None:
    gateway = await serve(logged(models[0], collector, None))
    await requests(gateway, 10)
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    assert len(collector.ids) == 20


async def test_a_reload_brings_and_takes_sinks(
    serve: Serve, models: Models, collector: Collector, file: Path, tmp_path: Path
) -> None:
    plain = configuration(models[0].url)
    gateway = await serve(plain)
    assert len(gateway.workers()) == 2
    write(file, logged(models[0], collector, tmp_path / "spool"))
    await gateway.reload()
    await requests(gateway, 5)
    await collector.has(10)
    assert len(gateway.workers()) == 3
    write(file, plain)
    await gateway.reload()
    await requests(gateway, 5)
    await asyncio.sleep(0.3)
    assert len(collector.ids) == 10


def test_workers_load_no_http_client() -> None:
    code = "import sys, gateway.worker, gateway.compile; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "gateway.payload.queue" in loaded
    assert not {"aiohttp", "gateway.payload.sender"} & set(loaded)
