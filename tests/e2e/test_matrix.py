"""The fault matrix: each fault, below each kind of node, with retries and without.

Every cell looks at the same: the right status within the deadline, the right answer to everybody else, no connection
or task left over, and counters that add up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Literal

import orjson
import pytest

from gateway.config.backend import (
    BackendTimeouts,
    Concurrency,
    ConsistentHash,
    HeaderRules,
    LoadBalancer,
    Retry,
)
from gateway.config.schema import Backend, Config, Graph, Node, Step
from gateway.http.origin import split
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.pick import ConsistentHash as Picker
from gateway.upstream.pick import header_key
from tests.support.badserver import BadServer, badserver
from tests.support.behaviours import (
    GARBAGE,
    Answer,
    Behaviour,
    Close,
    Dribble,
    Early,
    Hang,
    Interim,
    Late,
    Reset,
    Say,
    Serve,
    Up,
    busy,
    twice,
)
from tests.support.counted import total, until
from tests.support.loopback import Answer as Got
from tests.support.loopback import Call, Running, serving, stub
from tests.support.service import MockService, ask

pytestmark = pytest.mark.e2e

DEADLINES = {"one attempt": 0.3, "a second elsewhere": 1.0, "a second in vain": 0.5}
"""Seconds; more than is needed where a good answer must come in time after all."""
PATIENCE = 0.12
"""Seconds for one of several attempts."""
SLACK = 0.5
"""Seconds by which a busy machine may be late."""

LARGE = 512 << 10
"""Bytes; more than the sockets between take at once."""

STREAMING = (False,)
"""Whether the client asks for a stream."""

CONTENT = b'{"predictions":["this server"]}'
WELL = Answer(200, CONTENT)
AGAIN = b'{"predictions":["well again"]}'
OLD = Say(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n" + CONTENT)


@dataclass(frozen=True)
class Fault:
    """What the server does wrong, and what a client sees of it who gets no second attempt."""

    does: Behaviour | None
    """None: it is not even there."""
    status: int
    code: str = ""
    """Of the gateway's own error; else it is the server's answer that came through."""
    retried: bool = True
    meets: Behaviour | None = None
    """What happens to its connections, or to the first only where that is ``warm``, besides the requests in them."""
    body: int = 0
    """The least bytes that the request has."""
    warm: bool = False
    """It happens on a connection that has been good for a request."""


FAULTS = {
    "refused": Fault(None, 503, "upstream_connect_failure"),
    "hang": Fault(Hang(), 504, "upstream_timeout"),
    "late": Fault(Late(3.0, WELL), 504, "upstream_timeout"),
    "trickle": Fault(Dribble(WELL, pause=0.05), 504, "upstream_timeout"),
    "reset before the head": Fault(Reset(), 502, "upstream_reset"),
    "reset within the head": Fault(Reset(Up.INTO_THE_HEAD), 502, "upstream_reset"),
    "reset after the head": Fault(Reset(Up.TO_THE_BODY), 502, "upstream_reset"),
    "truncated chunks": Fault(Close(Up.INTO_THE_BODY, Answer(200, CONTENT, chunk=8)), 502, "upstream_reset"),
    "short of its Content-Length": Fault(Close(Up.INTO_THE_BODY, WELL), 502, "upstream_reset"),
    "garbage": Fault(GARBAGE, 502, "upstream_protocol_error"),
    "closed while idle": Fault(WELL, 200, warm=True, meets=Serve((WELL, Close()))),
    "two answers": Fault(twice(WELL), 200),
    "1xx first": Fault(Interim((100, 102, 103), WELL), 200),
    "early answer": Fault(Early(WELL), 200, body=LARGE),
    "HTTP/1.0": Fault(OLD, 200, meets=Serve(limit=1)),
    "busy": Fault(busy(503, retry_after="2"), 503, retried=False),  # longer than the deadline: a second call is no use
    "500": Fault(Answer(500, b'{"error":"its own"}'), 500),
}

Kind = Literal["direct", "Sequence", "Switch", "Ensemble", "Splitter"]
KINDS: tuple[Kind, ...] = ("direct", "Sequence", "Switch", "Ensemble", "Splitter")

Attempts = Literal["one attempt", "a second elsewhere", "a second in vain"]
ATTEMPTS: tuple[Attempts, ...] = ("one attempt", "a second elsewhere", "a second in vain")

ALL = Retry(
    attempts=2,
    retry_on=("connect-failure", "reset", "gateway-error", "5xx", "429", "503", "timeout"),
    per_try_timeout=PATIENCE,
)


def root(kind: Kind) -> Node:
    """A node of which the faulty backend, ``bad``, is a part that is needed."""
    bad, good = Step(name="bad", backend="bad", dependency="Hard"), Step(name="good", backend="good")
    match kind:
        case "direct":
            return Node(router_type="Sequence", steps=(bad,))
        case "Sequence":
            return Node(router_type="Sequence", steps=(good, bad))
        case "Switch":
            taken = Step(name="bad", backend="bad", condition="kind == 'taken'")
            return Node(router_type="Switch", steps=(taken, good))
        case "Ensemble":
            return Node(router_type="Ensemble", steps=(bad, good))
        case "Splitter":
            return Node(
                router_type="Splitter",
                steps=(
                    Step(name="bad", backend="bad", weight=1),
                    Step(name="good", backend="good", weight=0),
                ),
            )


def backend(bad: str, spare: str, attempts: Attempts) -> Backend:
    """As it comes for one attempt; else with all that may stand around a call."""
    timeouts = BackendTimeouts(connect=DEADLINES[attempts])
    headers = HeaderRules(propagate=())
    match attempts:
        case "one attempt":
            return Backend(url=bad, timeouts=timeouts, headers=headers, retry=Retry(attempts=1))
        case "a second elsewhere":
            by_key = LoadBalancer(type="ConsistentHash", consistent_hash=ConsistentHash(header="x-key"))
            return Backend(endpoints=(bad, spare), timeouts=timeouts, headers=headers, retry=ALL, load_balancer=by_key)
        case "a second in vain":
            one_by_one = Concurrency(limit=1)
            return Backend(url=bad, timeouts=timeouts, headers=headers, retry=ALL, concurrency=one_by_one)


def key_for(url: str, others: str) -> str:
    """A key whose endpoint is ``url``."""
    wanted, other = (Endpoint(split(one)[0], MockService()) for one in (url, others))
    picker = Picker(header_key("x-key"))
    return next(
        str(number)
        for number in count()
        if picker.pick([wanted, other], ask(headers=[(b"x-key", b"%d" % number)])) is wanted
    )


@dataclass
class Cell:
    """A gateway with one graph, ``g``, above the fault, and one, ``well``, that has nothing to do with it."""

    gateway: Running
    server: BadServer
    spare: BadServer
    key: str

    async def ask(self, *, size: int = 0, streaming: bool = False) -> Got:
        body = {"kind": "taken", "stream": streaming, "instances": ["x" * size]}
        return await self.gateway.post("/v1/models/g:predict", orjson.dumps(body), ("x-key", self.key))

    async def neighbour(self, name: str, over: asyncio.Event) -> None:
        """Somebody else, until it is over."""
        for number in count():
            body = b'{"of":"%b %d"}' % (name.encode(), number)
            answer = await self.gateway.post("/v1/models/well:predict", body)
            assert (answer.status, answer.body) == (200, body)
            if over.is_set():
                return
            await asyncio.sleep(0.005)

    def total(self, name: str, **labels: str) -> float:
        return total(self.gateway.registry, name, **labels)

    @property
    def heard(self) -> int:
        return len(self.server.requests) + len(self.spare.requests)


@asynccontextmanager
async def cell(kind: Kind, attempts: Attempts) -> AsyncIterator[Cell]:
    def echo(call: Call) -> bytes:
        return call.body

    async with AsyncExitStack() as stack:
        server, spare = [await stack.enter_async_context(badserver()) for _ in range(2)]
        good = await stack.enter_async_context(stub(echo))
        spare.does(always=WELL)
        config = Config(
            backends={"bad": backend(server.url, spare.url, attempts), "good": Backend(url=good.url)},
            graphs={
                "g": Graph(timeout=DEADLINES[attempts], nodes={"root": root(kind)}),
                "well": Graph(nodes={"root": Node(router_type="Sequence", steps=(Step(backend="good"),))}),
            },
        )
        gateway = await stack.enter_async_context(serving(config))
        yield Cell(gateway, server, spare, key_for(server.url, spare.url))


def afflict(cell: Cell, fault: Fault) -> None:
    if fault.does is None:
        cell.server.down()
        return
    cell.server.does(always=fault.does)
    if fault.warm:
        assert fault.meets is not None
        cell.server.meets(fault.meets)
    else:
        cell.server.meets(always=fault.meets)


async def heal(cell: Cell, fault: Fault) -> None:
    cell.server.does(always=Answer(200, AGAIN)).meets(always=Serve())
    if fault.does is None:
        await cell.server.up()


def expect_good(answer: Got, kind: Kind, content: bytes) -> None:
    assert answer.status == 200, answer
    assert (answer.json["bad"] if kind == "Ensemble" else answer.json) == orjson.loads(content)


def expect(answer: Got, fault: Fault, kind: Kind, attempts: Attempts) -> None:
    """The answer that this cell of the matrix has."""
    if fault.status == 200 or (fault.retried and attempts == "a second elsewhere"):
        expect_good(answer, kind, CONTENT)
        return
    assert answer.status == fault.status, answer
    if fault.code:
        assert (answer.json["code"], answer.json["node"], answer.json["step"]) == (fault.code, "root", "bad")
    else:
        assert isinstance(fault.does, Answer)
        assert answer.body == fault.does.body


def check_counters(cell: Cell, fault: Fault, calls: int, attempts: Attempts) -> None:
    """``calls``: of the backend ``bad``, of which one met the fault."""
    retries = int(fault.status >= 500 and fault.retried and attempts != "one attempt")
    assert cell.total("gateway_upstream_requests_total", backend="bad") == calls
    assert cell.total("gateway_upstream_retries_total", backend="bad") == retries
    succeeded = int(bool(retries) and attempts == "a second elsewhere")
    assert cell.total("gateway_upstream_retry_success_total", backend="bad") == succeeded
    refused = cell.total("gateway_upstream_connect_failures_total", backend="bad")
    resent = cell.total("gateway_upstream_stale_retries_total", backend="bad")
    assert (refused > 0) == (fault.does is None)
    assert resent == fault.warm
    assert cell.heard + refused == calls + retries + resent
    assert cell.total("gateway_requests_total", graph="g") == calls
    for gauge in ("gateway_requests_in_flight", "gateway_upstream_active_requests", "gateway_queue_depth"):
        assert cell.total(gauge) == 0, gauge


async def check_connections(cell: Cell) -> None:
    """Whatever is open is idle, on both sides; the other side may need a moment to see it."""
    pools = cell.gateway.leases.sweeper.pools
    assert not [pool for pool in pools if pool.busy]
    idle = sum(len(pool.idle) for pool in pools if pool.describe()["backend"] == "bad")
    await until(lambda: cell.total("gateway_upstream_connections", backend="bad") == idle)
    await until(lambda: len(cell.server.lines) + len(cell.spare.lines) == idle)


@pytest.mark.parametrize("streaming", STREAMING)
@pytest.mark.parametrize("attempts", ATTEMPTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_the_matrix(fault: Fault, kind: Kind, attempts: Attempts, streaming: bool) -> None:
    tasks, over = asyncio.all_tasks(), asyncio.Event()
    calls = 2
    async with cell(kind, attempts) as one:
        afflict(one, fault)
        if fault.warm:
            calls += 1
            assert (await one.ask()).status == 200
        async with asyncio.TaskGroup() as others:
            for name in ("a", "b"):
                others.create_task(one.neighbour(name, over))
            began = time.monotonic()
            answer = await one.ask(size=fault.body, streaming=streaming)
            over.set()
            assert time.monotonic() - began < DEADLINES[attempts] + SLACK
        expect(answer, fault, kind, attempts)
        await heal(one, fault)
        expect_good(await one.ask(), kind, AGAIN)  # and nothing that was left of the fault
        await check_connections(one)
        check_counters(one, fault, calls, attempts)
    await asyncio.sleep(0.001)
    assert asyncio.all_tasks() == tasks
