from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest
import uvloop

from bench.layers import (
    BARE,
    ENSEMBLE,
    NEW_REQUESTS,
    ROWS,
    SEQUENCE,
    SPLITTER,
    SWITCH,
    Row,
    WholePath,
    cost,
    drive,
    fresh,
    ready,
    timed,
)
from gateway.config import schema
from gateway.http.heads import ROOM
from gateway.message import Response

LAYERS = Path(__file__).parents[2] / "bench" / "layers.py"


def run(*options: str) -> str:
    command = [sys.executable, str(LAYERS), "--quick", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_table_has_every_row() -> None:
    heading, *lines = run().splitlines()
    assert heading.split()[0] == "CPython"
    assert [line.rsplit(None, 1)[0].strip() for line in lines] == [row.name.strip() for row in (BARE, *ROWS)]


def test_json_has_nanoseconds_by_name() -> None:
    costs = json.loads(run("--json"))
    assert list(costs) == [row.name for row in (BARE, *ROWS)]
    # Of a single layer little is left when the machine is busy; a whole path is never free.
    assert all(cost > 0 for name, cost in costs.items() if name.startswith("whole path"))


@pytest.mark.parametrize(
    ("graph", "ending"),
    [
        (SPLITTER, b'{"predictions": [1]}'),
        (SWITCH, b'{"predictions": [1]}'),
        (SEQUENCE, b'{"predictions": [1]}'),
        (ENSEMBLE, b'{"0":{"predictions": [1]},"1":{"predictions": [1]},"2":{"predictions": [1]}}'),
    ],
    ids=["splitter", "switch", "sequence", "ensemble"],
)
def test_on_the_whole_path_every_client_is_answered(graph: schema.Graph, ending: bytes) -> None:
    async def answers() -> list[object]:
        path = WholePath(graph, clients=5)
        async with asyncio.timeout(10):
            for _ in range(3):
                await path.round()
        return [client.answer for client in path.clients]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for answer in runner.run(answers()):
            assert isinstance(answer, bytes)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n" + ending)


async def test_the_clients_send_what_they_are_given() -> None:
    path = WholePath(SPLITTER, clients=2, requests=cycle([b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"]))
    await path.round()
    assert all(b'{"models":["iris"]}' in bytes(client.answer) for client in path.clients)  # type: ignore[call-overload]


def test_new_heads_are_forgotten_before_they_come_again() -> None:
    assert len(set(NEW_REQUESTS)) > ROOM


async def test_what_would_have_to_wait_is_not_measured() -> None:
    async def waits() -> Response:
        await asyncio.sleep(0)
        return Response(200, [])

    drive(ready()(fresh()))
    with pytest.raises(RuntimeError, match="waits"):
        drive(waits())


async def test_both_kinds_of_acts_are_done_so_many_times() -> None:
    done: list[int] = []

    async def later() -> None:
        done.append(2)

    assert await timed(lambda: done.append(1), 3) > 0
    assert await timed(later, 2) > 0
    assert done == [1, 1, 1, 2, 2]


async def test_the_cost_is_that_of_one_request() -> None:
    done: list[int] = []
    act = partial(done.append, 1)
    one = await cost(Row("one", lambda: act), 0.001)
    many = await cost(Row("many", lambda: act, requests=1000), 0.001)
    assert 0 < many < one
