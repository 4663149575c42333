"""The end of a real gateway."""

import asyncio
import signal

import aiohttp
import pytest

from tests.support.running import Model, Serve, configuration, predict

pytestmark = pytest.mark.e2e
Models = tuple[Model, Model]


async def predict_until_refused(data: str) -> None:
    while True:
        assert (await predict(data))[0] == 200


async def test_what_is_in_flight_is_finished_and_nothing_new_accepted(serve: Serve, models: Models) -> None:
    gateway = await serve(configuration(models[0].url))
    held = asyncio.create_task(predict(gateway.data, hold=True))
    await models[0].holds()
    gateway.signal(signal.SIGTERM)
    await gateway.logs(" draining ")
    with pytest.raises(aiohttp.ClientConnectionError):
        await predict_until_refused(gateway.data)
    models[0].release.set()
    assert await held == (200, "one")
    assert await gateway.ended() == 0
    await gateway.logs(" drained")


async def test_it_is_not_ready_but_serves_until_the_delay_has_passed(serve: Serve, models: Models) -> None:
    gateway = await serve(configuration(models[0].url, drain="{delay: 60s, timeout: 30s}"))
    gateway.signal(signal.SIGTERM)
    await gateway.logs(" draining ")
    for url in (f"{gateway.admin}/readyz", f"{gateway.data}/v2/health/ready"):
        async with aiohttp.request("GET", url) as answer:
            assert answer.status == 503
    assert await predict(gateway.data) == (200, "one")
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == 0


async def test_what_does_not_end_in_time_is_cut_off(serve: Serve, models: Models) -> None:
    gateway = await serve(configuration(models[0].url, drain="{delay: 0s, timeout: 100ms}"))
    held = asyncio.create_task(predict(gateway.data, hold=True))
    await models[0].holds()
    gateway.signal(signal.SIGINT)
    assert await gateway.ended() == 3
    with pytest.raises(aiohttp.ClientError):
        await held


async def test_a_second_signal_ends_it_now(serve: Serve, models: Models) -> None:
    gateway = await serve(configuration(models[0].url))
    held = asyncio.create_task(predict(gateway.data, hold=True))
    await models[0].holds()
    gateway.signal(signal.SIGTERM)
    await gateway.logs(" draining ")
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == 3
    with pytest.raises(aiohttp.ClientError):
        await held


async def test_idle_connections_do_not_hold_it_up(serve: Serve, models: Models) -> None:
    gateway = await serve(configuration(models[0].url))
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{gateway.data}/v1/models") as answer:
            assert answer.status == 200
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


async def test_clients_that_heed_readiness_lose_nothing(serve: Serve, models: Models) -> None:
    gateway = await serve(configuration(models[0].url, drain="{delay: 300ms, timeout: 30s}"))

    async def client() -> set[int]:
        statuses = set()
        while True:
            async with aiohttp.request("GET", f"{gateway.data}/v2/health/ready") as answer:
                if answer.status == 503:
                    return statuses
            statuses.add((await predict(gateway.data))[0])

    clients = [asyncio.create_task(client()) for _ in range(8)]
    for _ in range(20):
        await predict(gateway.data)
    gateway.signal(signal.SIGTERM)
    assert [await one for one in clients] == [{200}] * 8
    assert await gateway.ended() == 0
