"""Reloads of a real gateway."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.support.running import Model, Serve, configuration, predict, write

pytestmark = pytest.mark.e2e
Models = tuple[Model, Model]


async def test_hup_changes_what_is_served(serve: Serve, file: Path, models: Models) -> None:
    gateway = await serve(configuration(models[0].url))
    assert await predict(gateway.data) == (200, "one")
    write(file, configuration(models[1].url))
    await gateway.reload()
    assert {await predict(gateway.data) for _ in range(8)} == {(200, "two")}
    assert await gateway.metric("gateway_config_last_reload_successful") == 1


async def test_a_broken_file_changes_nothing_and_every_error_is_logged(
    serve: Serve, file: Path, models: Models
) -> None:
    gateway = await serve(configuration(models[0].url))
    write(file, "defaultGraf: m\nserver: {workers: many}\n")
    gateway.signal(signal.SIGHUP)
    await gateway.logs("reload failed")
    assert await gateway.logs(f"ERROR {file}:1:1: defaultGraf: ")
    assert await gateway.logs(f"ERROR {file}:2:19: server.workers: ")
    assert await predict(gateway.data) == (200, "one")
    assert await gateway.metric("gateway_config_last_reload_successful") == 0


async def test_a_request_in_flight_is_finished_by_the_generation_that_began_it(
    serve: Serve, file: Path, models: Models
) -> None:
    gateway = await serve(configuration(models[0].url))
    held = asyncio.create_task(predict(gateway.data, hold=True))
    await models[0].holds()
    write(file, configuration(models[1].url))
    await gateway.reload()
    assert await predict(gateway.data) == (200, "two")
    models[0].release.set()
    assert await held == (200, "one")


async def test_the_admin_site_reloads_and_tells_the_errors(serve: Serve, file: Path, models: Models) -> None:
    gateway = await serve(configuration(models[0].url))
    async with aiohttp.request("POST", f"{gateway.admin}/-/reload") as answer:
        assert answer.status == 200
    write(file, configuration(models[0].url, workers=3))
    async with aiohttp.request("POST", f"{gateway.admin}/-/reload") as answer:
        assert (answer.status, await answer.text()) == (400, "server.workers: changed, which needs a restart\n")


async def test_reloads_in_quick_succession_lose_nothing(serve: Serve, file: Path, models: Models) -> None:
    gateway = await serve(configuration(models[0].url))
    stop = asyncio.Event()

    async def client() -> set[int]:
        statuses = set()
        async with aiohttp.ClientSession() as session:
            while not stop.is_set():
                async with session.post(f"{gateway.data}/v1/models/m:predict", json={}) as answer:
                    statuses.add(answer.status)
        return statuses

    clients = [asyncio.create_task(client()) for _ in range(8)]
    for turn in range(12):
        write(file, configuration(models[turn % 2].url))
        gateway.signal(signal.SIGHUP)
        await gateway.logs(" reloaded ", turn + 1)
    stop.set()
    assert [await one for one in clients] == [{200}] * 8
    assert await gateway.metric('gateway_config_reloads_total{result="success"}') == 12
    assert await gateway.metric("gateway_requests_total") == sum(model.calls for model in models)
