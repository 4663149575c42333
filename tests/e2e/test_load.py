"""What must hold while there is traffic: reloads that nobody notices, deaths that only their own requests notice."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.echo import Client, EchoModel, load
from tests.support.running import RunningGateway, Serve, write

pytestmark = pytest.mark.e2e
CLIENTS = 64


@pytest.fixture
async def echoes() -> AsyncIterator[tuple[EchoModel, EchoModel]]:
    pair = EchoModel(), EchoModel()
    for model in pair:
        await model.start()
    yield pair
    for model in pair:
        await model.close()


def chain(first: EchoModel, second: EchoModel, generation: int) -> str:
    """A Sequence of two calls; ``generation`` goes with both, so that an answer shows which file made it."""
    return f"""
server:
  listen: 127.0.0.1:0
  workers: 2
  drain: {{delay: 0s}}
  headers: {{set: {{x-generation: "{generation}"}}}}
admin: {{listen: "127.0.0.1:0"}}
backends:
  first: {{url: "{first.url}"}}
  second: {{url: "{second.url}"}}
graphs:
  chain:
    nodes:
      root: {{routerType: Sequence, steps: [{{backend: first}}, {{backend: second, data: $response}}]}}
"""


async def reload_all_the_time(gateway: RunningGateway, file: Path, echoes: tuple[EchoModel, EchoModel]) -> None:
    generation = 0
    while True:
        generation += 1
        write(file, chain(*echoes, generation))
        gateway.signal(signal.SIGHUP)
        await asyncio.sleep(0.2)


async def test_ten_thousand_requests_while_the_file_changes_every_200_ms(
    serve: Serve, file: Path, echoes: tuple[EchoModel, EchoModel]
) -> None:
    gateway = await serve(chain(*echoes, 0))
    seen: set[int] = set()

    def check(answer: Any, number: int) -> None:
        assert answer["got"]["got"] == {"n": number}
        assert answer["generation"] == answer["got"]["generation"], "an answer made by two generations"
        seen.add(answer["generation"])

    clients = [Client(gateway.data, "/v1/models/chain:predict") for _ in range(CLIENTS)]
    reloading = asyncio.create_task(reload_all_the_time(gateway, file, echoes))
    await load(clients, lambda number: number < 10_000 or len(seen) < 10, check)
    reloading.cancel()
    assert [(client.lost, client.statuses.keys()) for client in clients] == [(0, {200})] * CLIENTS
    for model in echoes:
        # Never closed and reopened: no more connections than requests at once, and all of them are still there.
        assert model.connections <= CLIENTS
        assert model.open == model.connections


async def test_a_killed_worker_loses_only_the_requests_that_it_held(
    serve: Serve, echoes: tuple[EchoModel, EchoModel]
) -> None:
    gateway = await serve(chain(*echoes, 0))
    clients = [Client(gateway.data, "/v1/models/chain:predict") for _ in range(CLIENTS)]
    answered = asyncio.Event()

    def check(answer: Any, number: int) -> None:
        if number == 2_000:
            answered.set()

    loading = asyncio.create_task(load(clients, lambda number: number < 6_000, check))
    await answered.wait()
    os.kill(gateway.workers()[0], signal.SIGKILL)
    await loading
    lost = sum(client.lost for client in clients)
    assert 0 < lost < CLIENTS
    assert all(client.lost <= 1 for client in clients)
    assert sum(client.statuses.get(200, 0) for client in clients) == 6_000 - lost
    assert [client.statuses.keys() for client in clients] == [{200}] * CLIENTS
