"""What must hold whatever comes at once, and whatever becomes of it: no row goes to anybody but its owner.

The storm takes some seconds; ``STORM_SECONDS=60 pytest -s tests/e2e/test_batching.py`` is a long one, and says what
came.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import NamedTuple

import pytest
from aiohttp import web

from gateway.batching.lane import Batch as Call_
from gateway.batching.lane import Entry
from gateway.config.backend import Backend
from gateway.config.batch import Batch
from gateway.config.schema import Config, Graph, HeaderRules, Node, Step
from tests.support.counted import total, until
from tests.support.kinds import Column, Kind, kind
from tests.support.loopback import Answer, Call, Fields, Running, Stub, serving, stub
from tests.support.mirror import LENGTH, Reply, reply

pytestmark = pytest.mark.e2e

SECONDS = float(os.environ.get("STORM_SECONDS", "3"))
CLIENTS = 64
KINDS = 50
NOBODY: Fields = []
OWNERS = (
    NOBODY,
    *([("authorization", f"Bearer {n}")] for n in range(4)),
    [("authorization", "Bearer 1"), ("x-tenant", "t")],
)

GAUGES = (
    "gateway_batch_queue_depth",
    "gateway_batch_in_flight",
    "gateway_requests_in_flight",
    "gateway_upstream_active_requests",
    "gateway_connections",
    "gateway_buffered_bytes",
)
"""What is 0 once everybody has gone."""


@asynccontextmanager
async def mirroring(policy: Batch, seconds: float) -> AsyncIterator[tuple[Running, Stub]]:
    """A gateway before a model server whose answers tell whose they are, and take so long."""

    async def slowly(call: Call) -> web.Response:
        await asyncio.sleep(seconds)
        status, headers, body = reply(call)
        return web.Response(status=status, headers=dict(headers), body=body)

    rules = HeaderRules(propagate=("^authorization$", "^x-tenant$"))
    async with stub(slowly) as model:
        v1 = Backend(url=model.url, batch=policy, headers=rules)
        v2 = Backend(url=model.url, batch=policy, headers=rules, protocol="v2")
        graphs = {"rows": straight_to("v1"), "tensors": straight_to("v2")}
        async with serving(Config(backends={"v1": v1, "v2": v2}, graphs=graphs)) as gateway:
            yield gateway, model


def straight_to(backend: str) -> Graph:
    return Graph(nodes={"root": Node(router_type="Sequence", steps=(Step(backend=backend, dependency="Hard"),))})


class Asked(NamedTuple):
    """A request, and what its caller must get."""

    target: str
    headers: Fields
    body: bytes
    due: Reply

    async def of(self, gateway: Running, *more: tuple[str, str]) -> Answer:
        return await gateway.post(self.target, self.body, *self.headers, *more)

    def check(self, answer: Answer) -> None:
        """Bit for bit."""
        assert (answer.status, answer.body) == (self.due.status, self.due.body), self
        described = [(name, value) for name, value in answer.headers if name in ("content-type", LENGTH)]
        assert sorted(described) == sorted(self.due.headers), self


def asked(dice: Random, kind: Kind, owner: Fields, rows: int, bad: bool = False) -> Asked:
    target = "/v2/models/tensors/infer" if kind.layout == "tensors" else "/v1/models/rows:predict"
    described, body = kind.request(dice, rows, bad)
    headers = [*described, *owner]
    return Asked(target, headers, body, reply(Call("POST", target, headers, body)))


class Client:
    """Asks one thing after the other; some in a hurry, and some it leaves before the answer is there."""

    def __init__(self, gateway: Running, crowd: Sequence[tuple[Kind, Fields]], seed: int, tally: Counter[str]) -> None:
        self._gateway = gateway
        self._crowd = crowd
        self._dice = Random(seed)
        self._tally = tally

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await self._ask()
            if self._dice.random() < 0.1:
                await asyncio.sleep(self._dice.random() * 0.02)

    async def _ask(self) -> None:
        dice = self._dice
        # A few kinds come often enough to fill a call, the others meet by chance.
        kind, owner = self._crowd[int(len(self._crowd) * dice.random() ** 3)]
        one = asked(dice, kind, owner, dice.choice((1, 1, 1, 2, 3, 20)), bad=dice.random() < 0.03)
        self._tally["asked"] += 1
        mood = dice.random()
        if mood < 0.1:
            await self._leave(one)
        elif mood < 0.2:
            await self._hurry(one)
        else:
            self._note(one, await one.of(self._gateway))

    async def _leave(self, one: Asked) -> None:
        try:
            async with asyncio.timeout(self._dice.random() * 0.03):
                answer = await one.of(self._gateway)
        except TimeoutError:
            self._tally["left"] += 1
        else:
            self._note(one, answer)

    async def _hurry(self, one: Asked) -> None:
        answer = await one.of(self._gateway, ("x-request-timeout-ms", str(self._dice.randint(1, 40))))
        if answer.status in (503, 504):
            assert answer.json["code"] in ("queue_too_long", "upstream_timeout", "deadline_exceeded")
            self._tally["late"] += 1
        else:
            self._note(one, answer)

    def _note(self, one: Asked, answer: Answer) -> None:
        one.check(answer)
        self._tally["right" if one.due.status == 200 else "own error"] += 1


@contextmanager
def nothing_left() -> Iterator[None]:
    """No task, and nothing of any batch."""
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() == before
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Entry | Call_)]


async def test_a_storm() -> None:
    dice, tally = Random(17), Counter[str]()
    crowd = [(kind(dice), dice.choice(OWNERS)) for _ in range(KINDS // 2)]
    crowd += [(kind, dice.choice(OWNERS)) for kind, _ in crowd]  # each of them by somebody else, too
    dice.shuffle(crowd)
    with nothing_left():
        async with mirroring(Batch(max_batch_size=16, max_concurrent_batches=2), 0.002) as (gateway, model):
            async with asyncio.TaskGroup() as group:
                for seed in range(CLIENTS):
                    group.create_task(Client(gateway, crowd, seed, tally).run(SECONDS))
            await until(lambda: not any(total(gateway.registry, name) for name in GAUGES))
            assert not any(pool.busy for pool in gateway.leases.sweeper.pools)
            calls = len(model.calls)
            mismatches = total(gateway.registry, "gateway_batch_mismatches_total")
            isolated = total(gateway.registry, "gateway_batch_isolations_total")
    print(f"\n{dict(tally)}, {calls} calls, {isolated:.0f} isolated")
    assert all(tally[what] for what in ("right", "own error", "left", "late"))
    assert calls < tally["right"]
    assert isolated > 0
    assert mismatches == 0


BAD_ONES = {
    "rows": Kind("instances", (Column("x", "FP64", (4,)),), {}),
    "columns": Kind("named inputs", (Column("x", "FP64", ()), Column("y", "BYTES", (2,))), {}),
    "JSON tensors": Kind("tensors", (Column("x", "INT64", (4,), "flat"), Column("y", "BYTES", (), "nested")), {}),
    "binary tensors": Kind("tensors", (Column("x", "FP32", (4,), "binary"), Column("y", "BYTES", (2,), "binary")), {}),
}


@pytest.mark.parametrize("kind", BAD_ONES.values(), ids=BAD_ONES)
async def test_one_bad_row_among_32_requests(kind: Kind) -> None:
    dice = Random(5)
    with nothing_left():
        async with mirroring(Batch(), 0.02) as (gateway, model):
            first = asyncio.create_task(asked(dice, kind, NOBODY, 1).of(gateway))
            await model.arrived.acquire()
            crowd = [asked(dice, kind, NOBODY, 1, bad=number == 21) for number in range(32)]
            answers = await asyncio.gather(*(one.of(gateway) for one in crowd))
            for one, answer in zip(crowd, answers, strict=True):
                one.check(answer)
            assert [n for n, answer in enumerate(answers) if answer.status != 200] == [21]
            assert (await first).status == 200
            # The 32 wait for the first to end; then they are one call, and ten more to find the one.
            assert len(model.calls) == 12
