"""What each layer of the data plane costs, and all of them together, without a single socket.

    .venv/bin/python bench/layers.py [--quick] [--json]

Nanoseconds of processor time, the best of several passes: what the code costs, not what the machine does meanwhile. A
layer is called around a service that has its answer ready, and what the same call costs without the layer is taken off.
The whole path runs from the bytes of 64 clients to the bytes of their answers, with a backend that answers in the event
loop's next round; there it is the mean of a request. All that is missing is the kernel.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import iscoroutinefunction
from itertools import cycle, repeat
from math import inf
from time import process_time

import uvloop

from gateway.api.face import Face
from gateway.api.router import Router
from gateway.api.template import template
from gateway.api.v1 import V1
from gateway.app import App
from gateway.compile import compile_app
from gateway.config import schema
from gateway.graph.condition import Condition, compile_condition
from gateway.graph.ensemble import Ensemble
from gateway.graph.sequence import Sequence
from gateway.graph.splitter import Splitter
from gateway.graph.step import Step
from gateway.graph.switch import Switch
from gateway.http.arrival import ReaderLimits
from gateway.http.client import ClientConnection
from gateway.http.heads import Heads
from gateway.http.listener import Server
from gateway.http.origin import split
from gateway.http.pool import Pool, Sweeper
from gateway.http.requests import RequestReader
from gateway.http.responses import ResponseReader
from gateway.http.server import ServerConnection
from gateway.layers.access import Access
from gateway.layers.admit import Allowance, admit
from gateway.layers.deadline import deadline
from gateway.layers.forward import forward, rules
from gateway.layers.forwarded import forwarded
from gateway.layers.observe import observe_graph
from gateway.layers.recover import Recover
from gateway.layers.trace import trace
from gateway.leases import Leases
from gateway.message import Request, Response
from gateway.service import Layer, Service
from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing.context import Propagation
from gateway.telemetry.tracing.sampler import Sampler, bound
from gateway.telemetry.tracing.span import Span
from gateway.telemetry.tracing.tracer import Tracer

CLIENTS = 64

# The messages: those of bench/cases.py, as wrk and nginx send them.

TARGET = b"/v1/models/iris:predict"
BODY = b'{"instances": [[6.8, 2.8, 4.8, 1.4]]}'
PREDICTED = b'{"predictions": [1]}'
TYPE = (b"content-type", b"application/json")
FIELDS = [(b"host", b"localhost:8080"), TYPE, (b"content-length", b"37")]
ANSWERED = [(b"server", b"nginx/1.22.1"), (b"date", b"Fri, 20 Nov 2026 13:34:02 GMT"), TYPE]


def wire(start: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    return start + b"\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n" + body


def chunks(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


POST, OK = b"POST " + TARGET + b" HTTP/1.1", b"HTTP/1.1 200 OK"
LENGTH, CHUNKED = (b"content-length", b"20"), (b"transfer-encoding", b"chunked")
REQUEST = wire(POST, FIELDS, BODY)
REQUEST_CHUNKED = wire(POST, [*FIELDS[:2], CHUNKED], chunks(BODY))
ANSWER = wire(OK, [*ANSWERED, LENGTH], PREDICTED)
ANSWER_CHUNKED = wire(OK, [*ANSWERED, CHUNKED], chunks(PREDICTED))
# More than are ever remembered, so that each has been forgotten when its turn comes again.
NEW_REQUESTS = [wire(POST, [*FIELDS, (b"x-n", b"%04d" % n)], BODY) for n in range(1024)]
NEW_ANSWERS = [wire(OK, [*ANSWERED, LENGTH, (b"x-n", b"%04d" % n)], PREDICTED) for n in range(1024)]


def graph(router_type: schema.RouterType, *steps: schema.Step) -> schema.Graph:
    return schema.Graph(nodes={"root": schema.Node(router_type=router_type, steps=steps)})


NOTHING_MORE = schema.Telemetry()
LOGGED = schema.Telemetry(access_log=schema.AccessLog(path=os.devnull))
SPLITTER = graph("Splitter", schema.Step(backend="b0", weight=90), schema.Step(backend="b1", weight=10))
SWITCH = graph("Switch", schema.Step(backend="b0", condition="instances[0][0] > `5`"), schema.Step(backend="b1"))
SEQUENCE = graph("Sequence", *(schema.Step(backend=f"b{n}", data="$response" if n else "$request") for n in range(3)))
ENSEMBLE = graph("Ensemble", *(schema.Step(backend=f"b{n}") for n in range(3)))


class Silence(asyncio.Transport):
    """Takes everything and says nothing."""

    def write(self, data: object) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class Backend(Silence):
    """A model server. ``at_once``: it answers before the write returns; else in the event loop's next round."""

    def __init__(self, pool: Pool, at_once: bool) -> None:
        super().__init__()
        connection = ClientConnection(pool)
        call_soon = asyncio.get_running_loop().call_soon
        receive = connection.data_received
        self._answer = partial(receive, ANSWER) if at_once else partial(call_soon, receive, ANSWER)
        connection.connection_made(self)
        pool.release(connection)

    def write(self, data: object) -> None:
        self._answer()


class Client(Silence):
    """Sends requests to a server; ``answered`` is called when an answer has come, which is kept."""

    def __init__(self, server: Server, answered: Callable[[], None]) -> None:
        super().__init__()
        self._answered = answered
        self.answer: object = b""
        connection = ServerConnection(server)
        connection.connection_made(self)
        self.ask = connection.data_received

    def write(self, data: object) -> None:
        self.answer = data
        self._answered()


def assemble(
    of: schema.Graph,
    registry: Registry,
    leases: Leases,
    connections: int,
    *,
    at_once: bool,
    telemetry: schema.Telemetry = NOTHING_MORE,
) -> App:
    """The App of one graph, with so many idle connections to each of its three backends."""
    backends = {f"b{n}": schema.Backend(url=f"http://127.0.0.1:{n + 1}") for n in range(3)}
    config = schema.Config(backends=backends, graphs={"iris": of}, telemetry=telemetry)
    app = compile_app(config, leases, registry)
    for pool in leases.sweeper.pools:
        for _ in range(connections):
            Backend(pool, at_once)
    return app


class WholePath:
    """Everything between two kernels: clients on a Server, its App, and the pools of the backends. Wants a loop."""

    def __init__(
        self,
        of: schema.Graph,
        clients: int = CLIENTS,
        requests: Iterator[bytes] | None = None,
        tracer: Tracer | None = None,
        telemetry: schema.Telemetry = NOTHING_MORE,
    ) -> None:
        registry = Registry.private()
        server = Server(schema.Server(), registry)
        self.leases = Leases(tracer, lambda lines: True)
        server.app = assemble(of, registry, self.leases, clients, at_once=False, telemetry=telemetry)
        self.clients = [Client(server, self._answered) for _ in range(clients)]
        self._requests = requests or repeat(REQUEST)
        self._round: asyncio.Future[None] = server.loop.create_future()
        self._awaited = 0

    async def round(self) -> None:
        """Each client asks once, all together, and has its answer when this returns."""
        self._round = asyncio.get_running_loop().create_future()
        self._awaited = len(self.clients)
        for client in self.clients:
            client.ask(next(self._requests))
        await self._round

    def _answered(self) -> None:
        self._awaited -= 1
        if not self._awaited:
            self._round.set_result(None)


# The rows of the table. Each is prepared in a loop of its own and then done over and over.

Act = Callable[[], Awaitable[None] | None]


def fresh() -> Request:
    """A request as the server connection hands it to the App."""
    return Request(b"POST", TARGET, FIELDS.copy(), BODY, peer=b"127.0.0.1")


def drive(answer: Awaitable[Response]) -> None:
    """Await what has no need to wait."""
    try:
        answer.__await__().send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits for something")


def ready() -> Service:
    """A service that has its answer ready, in a Future as from a pool."""
    future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    response = Response(200, [], PREDICTED)
    future.set_result(response)

    def service(request: Request, /) -> Awaitable[Response]:
        response.headers = ANSWERED.copy()
        return future

    return service


def around(layer: Layer) -> Act:
    service = layer(ready())
    return lambda: drive(service(fresh()))


def node(make: Callable[[list[Step]], Service], count: int, first: Condition | None = None) -> Act:
    """A node with ``count`` steps, the first with the condition and nine times the weight of each other."""

    def step(n: int, inner: Service) -> Step:
        return Step(
            node="root",
            index=n,
            name=f"b{n}",
            key=str(n),
            label=b"root=b%d" % n,
            at=("root", f"b{n}"),
            service=inner,
            condition=None if n else first,
            use_response=n > 0,
            weight=1 if n else 9,
        )

    return around(lambda inner: make([step(n, inner) for n in range(count)]))


def routed(inner: Service) -> Service:
    face = Face("iris", inner, lambda: asyncio.sleep(0, True), v1=True, v2=False)
    return Router([V1([face])], None)


def reading_requests(wires: Iterator[bytes]) -> Act:
    reader = RequestReader(ReaderLimits(1 << 20, 60 << 10, 100), asyncio.get_running_loop().time)

    def act() -> None:
        reader.feed(next(wires))
        reader.arrived.pop()

    return act


def reading_answers(wires: Iterator[bytes]) -> Act:
    reader = ResponseReader(1 << 20, Heads())

    def act() -> None:
        reader.expect(head_only=False)
        reader.feed(next(wires))

    return act


def pool() -> Pool:
    return Pool(split("http://127.0.0.1:1")[0], Sweeper(asyncio.get_running_loop()), Registry.private(), "b0")


def sending() -> Act:
    connection, request = ClientConnection(pool()), fresh()
    connection.connection_made(Silence())
    waiter: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def act() -> None:
        connection._waiter = None  # as if the answer had come
        connection.send(request, waiter, resendable=True)

    return act


def calling() -> Act:
    service = pool()
    Backend(service, at_once=True)
    return lambda: drive(service(fresh()))


def answering() -> Act:
    connection = ServerConnection(Server(schema.Server(), Registry.private()))
    connection.connection_made(Silence())
    ours = [(b"x-request-id", b"b3a1f6fe-7f7c-4f0e-9c0d-0d5d2f4c1a11"), (b"x-gateway-route", b"root=b0")]
    return lambda: connection._write(Response(200, ANSWERED + ours, PREDICTED))


def app_stack() -> Act:
    app = assemble(SPLITTER, Registry.private(), Leases(), 1, at_once=True)
    return lambda: drive(app(fresh()))


@dataclass(frozen=True)
class Row:
    """``prepare`` makes what is measured; it is called in the loop that the measurement runs in."""

    name: str
    prepare: Callable[[], Act]
    layer: bool = False
    """Take off what the same call costs without it."""
    requests: int = 1


def layer(name: str, make: Callable[[], Layer]) -> Row:
    return Row(name, lambda: around(make()), layer=True)


def path(
    name: str,
    of: schema.Graph,
    requests: Iterator[bytes] | None = None,
    tracer: Callable[[], Tracer] | None = None,
    telemetry: schema.Telemetry = NOTHING_MORE,
) -> Row:
    return Row(
        f"whole path, {name}",
        lambda: WholePath(of, CLIENTS, requests, tracer() if tracer else None, telemetry).round,
        requests=CLIENTS,
    )


class Nowhere:
    """Takes spans; nobody collects them."""

    def __call__(self, span: Span) -> None:
        pass

    def flush(self) -> None:
        pass


def sampling(ratio: float) -> Tracer:
    return Tracer(Sampler(bound(ratio), by_parent=True), Propagation(), Nowhere())


BARE = Row("call without a layer", lambda: around(lambda inner: inner))

ROWS = (
    Row("RequestReader, known head", lambda: reading_requests(repeat(REQUEST))),
    Row("RequestReader, new head", lambda: reading_requests(cycle(NEW_REQUESTS))),
    Row("RequestReader, chunked", lambda: reading_requests(repeat(REQUEST_CHUNKED))),
    layer("Recover", lambda: Recover),
    layer("Router", lambda: routed),
    layer("Observe", lambda: observe_graph(Registry.private(), "iris")),
    layer("Recover, keeping records", lambda: lambda inner: Recover(inner, Access(lambda record: None))),
    layer("Admit", lambda: admit(Allowance(1024, Registry.private()))),
    layer("Trace, sampled out", lambda: trace(sampling(0.0), "iris", "http", template)),
    layer("Trace, sampled", lambda: trace(sampling(1.0), "iris", "http", template)),
    layer("Deadline", lambda: deadline(60.0)),
    Row("Splitter", lambda: node(Splitter, 2), layer=True),
    Row(
        "Switch, jmespath", lambda: node(Switch, 2, compile_condition("jmespath", "instances[0][0] > `5`")), layer=True
    ),
    Row("Switch, gjson", lambda: node(Switch, 2, compile_condition("gjson", "instances.0.#(>5)")), layer=True),
    Row("Sequence of 3", lambda: node(Sequence, 3), layer=True),
    Row("Ensemble of 3", lambda: node(Ensemble, 3), layer=True),
    layer("Forward", lambda: forward(*rules("none", schema.HeaderRules()), (b"POST", TARGET), 30.0)),
    layer("Forwarded", lambda: forwarded(schema.Server().trusted_proxies)),
    Row("Pool, call and answer", calling),
    Row("  ClientConnection.send", sending),
    Row("  ResponseReader, known head", lambda: reading_answers(repeat(ANSWER))),
    Row("  ResponseReader, new head", lambda: reading_answers(cycle(NEW_ANSWERS))),
    Row("  ResponseReader, chunked", lambda: reading_answers(repeat(ANSWER_CHUNKED))),
    Row("ServerConnection, head and write", answering),
    Row("App, Splitter: from Recover to Pool", app_stack),
    path("Splitter", SPLITTER),
    path("Splitter, new heads", SPLITTER, cycle(NEW_REQUESTS)),
    path("Splitter, access log", SPLITTER, telemetry=LOGGED),
    path("Splitter, 1 % traced", SPLITTER, tracer=partial(sampling, 0.01)),
    path("Splitter, traced", SPLITTER, tracer=partial(sampling, 1.0)),
    path("Switch, jmespath", SWITCH),
    path("Sequence of 3", SEQUENCE),
    path("Ensemble of 3", ENSEMBLE),
)


async def timed(act: Act, count: int) -> float:
    """Seconds of processor time for doing ``act`` so many times."""
    began = process_time()
    if iscoroutinefunction(act):
        for _ in range(count):
            await act()
    else:
        for _ in range(count):
            act()
    return process_time() - began


async def cost(row: Row, seconds: float) -> float:
    """Nanoseconds of one request, over at least so many seconds of work; the shorter runs before that warm it up."""
    act = row.prepare()
    count = 1
    while (took := await timed(act, count)) < seconds:
        count *= 2
    return took / count / row.requests * 1e9


def measure(seconds: float, passes: int) -> dict[str, float]:
    """Nanoseconds by the name of the row, the best of so many passes over all: none has a slow minute to itself."""
    costs = {row.name: inf for row in (BARE, *ROWS)}
    for _ in range(passes):
        for row in (BARE, *ROWS):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                costs[row.name] = min(costs[row.name], runner.run(cost(row, seconds)))
    return costs | {row.name: costs[row.name] - costs[BARE.name] for row in ROWS if row.layer}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a second in all: does everything still run?")
    options.add_argument("--json", action="store_true", help="nanoseconds by name, as JSON")
    chosen = options.parse_args()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as in gateway/worker.py
    costs = measure(*(0.003, 2) if chosen.quick else (0.03, 7))
    if chosen.json:
        print(json.dumps({name: round(cost) for name, cost in costs.items()}, indent=1))
        return
    print(f"{'CPython ' + platform.python_version():<36}{'ns':>7}")
    for name, cost in costs.items():
        print(f"{name:<36}{cost:>7,.0f}")


if __name__ == "__main__":
    main()
