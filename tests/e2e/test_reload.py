"""Reloads of a real gateway."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.support.loopback import Call, stub
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


async def test_requests_that_wait_for_a_batch_lose_nothing_and_what_was_learnt_is_kept(serve: Serve) -> None:
    busy, release = asyncio.Event(), asyncio.Event()

    async def reply(call: Call) -> web.Response:
        rows = call.json["instances"]
        if rows == ["hold"]:
            busy.set()
            await release.wait()
        return web.json_response({"predictions": rows if len(rows) == 1 else []})

    async def ask(*rows: str) -> list[list[str]]:
        async with aiohttp.ClientSession() as session:

            async def one(row: str) -> list[str]:
                async with session.post(f"{gateway.data}/v1/models/m:predict", json={"instances": [row]}) as answer:
                    found: list[str] = (await answer.json())["predictions"]
                    return found

            return await asyncio.gather(*map(one, rows))

    async with stub(reply) as model:
        text = configuration(model.url, workers=1).replace("}\ngraphs", ", batch: {}}\ngraphs")
        gateway = await serve(text)
        for number in range(3):  # whose answers do not add up
            busy.clear()
            release.clear()
            held = asyncio.create_task(ask("hold"))
            await busy.wait()
            waiting = asyncio.create_task(ask("a", "b"))
            while await gateway.metric("gateway_batch_queue_depth") < 2:
                pass
            if number == 2:
                await gateway.reload()
            release.set()
            assert (await held, await waiting) == ([["hold"]], [["a"], ["b"]])
        assert await gateway.metric("gateway_batch_rests_total") == 1
        assert await ask("c", "d") == [["c"], ["d"]]
        assert await gateway.metric('gateway_batch_bypassed_total{backend="m",reason="resting"') == 2


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
