"""A game day: failures on purpose, of a gateway that was started for it, and never of another."""

import signal
from pathlib import Path

import pytest

from tests.support.running import Model, Start, configuration, predict, write

pytestmark = pytest.mark.e2e

FAULT = "fault: {abort: {status: 503}}"


def faulty(model: Model) -> str:
    return configuration(model.url, workers=1).replace(f'url: "{model.url}"', f'url: "{model.url}", {FAULT}')


async def test_a_game_day_begins_and_ends_with_a_reload(begin: Start, file: Path, models: tuple[Model, Model]) -> None:
    model = models[0]
    write(file, configuration(model.url, workers=1))
    gateway = await begin("-c", str(file), "--enable-faults")
    await gateway.up()
    assert await predict(gateway.data) == (200, "one")
    write(file, faulty(model))
    await gateway.reload()
    assert (await predict(gateway.data))[0] == 503
    assert await gateway.metric('gateway_faults_injected_total{backend="m",type="abort"}') == 1
    write(file, configuration(model.url, workers=1))
    await gateway.reload()
    assert await predict(gateway.data) == (200, "one")


async def test_any_other_gateway_refuses_to_start_and_to_reload(
    begin: Start, file: Path, models: tuple[Model, Model]
) -> None:
    write(file, faulty(models[0]))
    refused = await begin("-c", str(file))
    assert await refused.ended() == 1
    assert "backends.m.fault" in await refused.logs("start the gateway with --enable-faults")
    write(file, configuration(models[0].url, workers=1))
    gateway = await begin("-c", str(file))
    await gateway.up()
    write(file, faulty(models[0]))
    gateway.signal(signal.SIGHUP)
    await gateway.logs("start the gateway with --enable-faults")
    assert await predict(gateway.data) == (200, "one")
