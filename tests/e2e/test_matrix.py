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
from itertools import count, product
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
from tests.support.badserver import BadServer, Line, badserver
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
from tests.support.loopback import Call, Running, request, serving, stub
from tests.support.raw import connected
from tests.support.service import MockService, ask

pytestmark = pytest.mark.e2e

DEADLINES = {"one attempt": 0.4, "a second elsewhere": 1.0, "a second in vain": 0.7}
"""Seconds; more than is needed where a good answer must come in time after all."""
PATIENCE = 0.2
"""Seconds for one of several attempts."""
SLACK = 0.5
"""Seconds by which a busy machine may be late."""

LARGE = 512 << 10
"""Bytes; more than the sockets between take at once."""

CONTENT = b'{"predictions":["this server"]}'
AGAIN = b'{"predictions":["well again"]}'
JSON, EVENTS = ("content-type", "application/json"), ("content-type", "text/event-stream")


def good(content: bytes, streaming: bool) -> Answer:
    """What a server that is well answers: all at once, or a stream."""
    return Answer(200, content, (EVENTS,), chunk=8) if streaming else Answer(200, content, (JSON,))


@dataclass(frozen=True)
class Drip:
    """An answer whose body takes longer than any call may."""

    answer: Answer

    async def __call__(self, line: Line) -> None:
        await line.body()
        await line.say(self.answer.head)
        content = self.answer.content
        for at in range(0, len(content), 12):
            await asyncio.sleep(0.2)
            await line.say(content[at : at + 12])


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
    slow: bool = False
    streams: bool = False
    """The answer has begun before it goes wrong: where nobody needs the whole of it, the client has seen that."""
    ends: bool = False
    """And then it goes on to a good end: it was just slow."""


NO_ANSWER = {
    "refused": Fault(None, 503, "upstream_connect_failure"),
    "hang": Fault(Hang(), 504, "upstream_timeout", slow=True),
    "late": Fault(Late(3.0, good(CONTENT, False)), 504, "upstream_timeout", slow=True),
    "trickle": Fault(Dribble(good(CONTENT, False), pause=0.05), 504, "upstream_timeout", slow=True),
    "reset before the head": Fault(Reset(), 502, "upstream_reset"),
    "reset within the head": Fault(Reset(Up.INTO_THE_HEAD), 502, "upstream_reset"),
    "garbage": Fault(GARBAGE, 502, "upstream_protocol_error"),
    "busy": Fault(busy(503, retry_after="2"), 503, retried=False),  # longer than the deadline: a second call is no use
    "500": Fault(Answer(500, b'{"error":"its own"}'), 500),
}
"""Whether a call streams is decided by its answer: here on and off are the same."""


def half_answers(streaming: bool) -> dict[str, Fault]:
    """Faults that come with an answer, which may be a stream."""
    well = good(CONTENT, streaming)
    sized = Answer(200, CONTENT, well.headers)
    chunked = Answer(200, CONTENT, well.headers, chunk=8)
    old = Say(b"HTTP/1.0 200 OK\r\n%b: %b\r\n\r\n%b" % (*(part.encode() for part in well.headers[0]), CONTENT))
    return {
        "reset after the head": Fault(Reset(Up.TO_THE_BODY, well), 502, "upstream_reset", streams=streaming),
        "truncated chunks": Fault(Close(Up.INTO_THE_BODY, chunked), 502, "upstream_reset", streams=True),
        "short of its Content-Length": Fault(Close(Up.INTO_THE_BODY, sized), 502, "upstream_reset", streams=streaming),
        "dripping body": Fault(Drip(well), 504, "upstream_timeout", slow=True, streams=streaming, ends=True),
        "closed while idle": Fault(well, 200, warm=True, meets=Serve((well, Close()))),
        "two answers": Fault(twice(well), 200),
        "1xx first": Fault(Interim((100, 102, 103), well), 200),
        "early answer": Fault(Early(well), 200, body=LARGE),
        "HTTP/1.0": Fault(old, 200, meets=Serve(limit=1)),
    }


STREAMING = (False, True)

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
    bad, other = Step(name="bad", backend="bad", dependency="Hard"), Step(name="good", backend="good")
    match kind:
        case "direct":
            return Node(router_type="Sequence", steps=(bad,))
        case "Sequence":
            return Node(router_type="Sequence", steps=(other, bad))
        case "Switch":
            taken = Step(name="bad", backend="bad", condition="kind == 'taken'")
            return Node(router_type="Switch", steps=(taken, other))
        case "Ensemble":
            return Node(router_type="Ensemble", steps=(bad, other))
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

    def request(self, size: int = 0) -> tuple[str, bytes, tuple[str, str]]:
        body = orjson.dumps({"kind": "taken", "instances": ["x" * size]})
        return "/v1/models/g:predict", body, ("x-key", self.key)

    async def ask(self, size: int = 0) -> Got:
        return await self.gateway.post(*self.request(size))

    async def hear(self) -> bytes:
        """All that is said in answer, be it half of one."""
        target, body, key = self.request()
        async with connected(self.gateway.number) as peer:
            await peer.say(request("POST", target, body, [key]))
            return await peer.rest()

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
async def cell(kind: Kind, attempts: Attempts, streaming: bool) -> AsyncIterator[Cell]:
    def echo(call: Call) -> bytes:
        return call.body

    async with AsyncExitStack() as stack:
        server, spare = [await stack.enter_async_context(badserver()) for _ in range(2)]
        neighbours = await stack.enter_async_context(stub(echo))
        spare.does(always=good(CONTENT, streaming))
        config = Config(
            backends={"bad": backend(server.url, spare.url, attempts), "good": Backend(url=neighbours.url)},
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


async def heal(cell: Cell, fault: Fault, streaming: bool) -> None:
    cell.server.does(always=good(AGAIN, streaming)).meets(always=Serve())
    if fault.does is None:
        await cell.server.up()


def passes(fault: Fault, kind: Kind) -> bool:
    """Whether the client sees the answer as it comes; an Ensemble needs the whole of it first."""
    return fault.streams and kind != "Ensemble"


def fails(fault: Fault, kind: Kind) -> bool:
    """Whether the gateway knows, before the client has seen anything, that there is no good answer."""
    return fault.status != 200 and not passes(fault, kind)


def expect_good(answer: Got, kind: Kind, content: bytes) -> None:
    assert answer.status == 200, answer
    assert (answer.json["bad"] if kind == "Ensemble" else answer.json) == orjson.loads(content)


def expect_failed(answer: Got, fault: Fault) -> None:
    assert answer.status == fault.status, answer
    if fault.code:
        assert (answer.json["code"], answer.json["node"], answer.json["step"]) == (fault.code, "root", "bad")
    else:
        assert isinstance(fault.does, Answer)
        assert answer.body == fault.does.body


def expect_broken(heard: bytes) -> None:
    """An answer that nobody can take for a whole one."""
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    if length:
        assert len(body) < int(length)
    else:
        assert b"transfer-encoding: chunked" in head.lower()
        assert not body.endswith(b"0\r\n\r\n")
    assert b"error" not in body


async def meet(cell: Cell, fault: Fault, kind: Kind, attempts: Attempts) -> None:
    """The one request that meets the fault."""
    if passes(fault, kind) and not fault.ends:
        expect_broken(await cell.hear())
        return
    answer = await cell.ask(fault.body)
    if fails(fault, kind) and not (fault.retried and attempts == "a second elsewhere"):
        expect_failed(answer, fault)
    else:
        expect_good(answer, kind, CONTENT)


def check_counters(cell: Cell, fault: Fault, kind: Kind, attempts: Attempts) -> None:
    """Of the backend ``bad``, which was called for the fault, afterwards, and where it must be warm before."""
    calls = 3 if fault.warm else 2
    retries = int(fails(fault, kind) and fault.retried and attempts != "one attempt")
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


async def check(fault: Fault, kind: Kind, attempts: Attempts, streaming: bool) -> None:
    """One cell of the matrix."""
    over = asyncio.Event()
    async with cell(kind, attempts, streaming) as one:
        afflict(one, fault)
        if fault.warm:
            expect_good(await one.ask(), kind, CONTENT)
        async with asyncio.TaskGroup() as others:
            for name in ("a", "b"):
                others.create_task(one.neighbour(name, over))
            began = time.monotonic()
            await meet(one, fault, kind, attempts)
            over.set()
            assert fault.ends or time.monotonic() - began < DEADLINES[attempts] + SLACK
        await heal(one, fault, streaming)
        expect_good(await one.ask(), kind, AGAIN)  # and nothing that was left of the fault
        await check_connections(one)
        check_counters(one, fault, kind, attempts)


def cells() -> dict[str, tuple[Fault, tuple[Kind, ...], Attempts, bool]]:
    """By name; all kinds of nodes at once where that is mostly waiting."""
    faults = [(name, fault, False) for name, fault in NO_ANSWER.items()]
    faults += [(name, fault, streaming) for streaming in STREAMING for name, fault in half_answers(streaming).items()]
    found: dict[str, tuple[Fault, tuple[Kind, ...], Attempts, bool]] = {}
    for (name, fault, streaming), attempts in product(faults, ATTEMPTS):
        for kinds in [KINDS] if fault.slow else [(kind,) for kind in KINDS]:
            parts = name, "stream" * streaming, " ".join(kinds), attempts
            found[", ".join(filter(None, parts))] = fault, kinds, attempts, streaming
    return found


@pytest.mark.parametrize(("fault", "kinds", "attempts", "streaming"), cells().values(), ids=cells().keys())
async def test_the_matrix(fault: Fault, kinds: tuple[Kind, ...], attempts: Attempts, streaming: bool) -> None:
    tasks = asyncio.all_tasks()
    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            group.create_task(check(fault, kind, attempts, streaming))
    await asyncio.sleep(0.001)
    assert asyncio.all_tasks() == tasks
