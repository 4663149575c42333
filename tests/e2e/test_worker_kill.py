"""Deaths in a real gateway."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gateway.telemetry.tracing.relay import DELAY
from tests.support.running import Model, Serve, configuration, predict, write

pytestmark = pytest.mark.e2e
Models = tuple[Model, Model]


async def test_a_worker_that_dies_is_replaced_and_nobody_waits_in_vain(serve: Serve, models: Models) -> None:
    gateway = await serve(configuration(models[0].url))
    for _ in range(10):
        assert await predict(gateway.data) == (200, "one")
    before = gateway.workers()
    os.kill(before[0], signal.SIGKILL)
    # Connections that the dead worker had not accepted wait for its successor.
    assert {await predict(gateway.data) for _ in range(20)} == {(200, "one")}
    await gateway.logs("exited code=-9")
    after = gateway.workers()
    assert len(after) == 2
    assert before[0] not in after
    assert before[1] in after
    assert await gateway.metric("gateway_requests_total") == 30
    assert await gateway.metric("gateway_worker_restarts_total") == 1


async def test_a_successor_serves_the_latest_configuration(serve: Serve, models: Models, file: Path) -> None:
    gateway = await serve(configuration(models[0].url, workers=1))
    write(file, configuration(models[1].url, workers=1))
    await gateway.reload()
    write(file, "broken: by now")
    os.kill(gateway.workers()[0], signal.SIGKILL)
    assert await predict(gateway.data) == (200, "two")


@pytest.mark.parametrize("noting", [False, True])
async def test_without_the_control_process_the_workers_finish_and_end(
    serve: Serve, models: Models, tmp_path: Path, noting: bool
) -> None:
    telemetry = f"telemetry: {{accessLog: {{path: {tmp_path / 'log'}}}}}\n" if noting else ""
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} if noting else {}
    gateway = await serve(configuration(models[0].url, workers=1) + telemetry, **traces)
    held = asyncio.create_task(predict(gateway.data, hold=True))
    await models[0].holds()
    assert await predict(gateway.data) == (200, "one")
    (worker,) = gateway.workers()
    watch = os.pidfd_open(worker)
    gateway.signal(signal.SIGKILL)
    await gateway.logs("the control process is gone")
    if noting:
        await asyncio.sleep(2 * DELAY)  # what was noted finds nobody, and more is noted after that
    models[0].release.set()
    assert await held == (200, "one")
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(watch, ended.set)
    async with asyncio.timeout(30):
        await ended.wait()
    asyncio.get_running_loop().remove_reader(watch)
    os.close(watch)
    assert not [line for line in gateway.log if "Traceback" in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
async def test_signals_to_the_whole_group_are_the_control_process_s_business(
    serve: Serve, models: Models, number: signal.Signals
) -> None:
    gateway = await serve(configuration(models[0].url, workers=1))
    before = gateway.workers()
    os.kill(before[0], number)
    assert await predict(gateway.data) == (200, "one")
    assert gateway.workers() == before
