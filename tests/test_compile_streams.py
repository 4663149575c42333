"""Which backends may stream: those whose answer nobody but the client reads."""

from __future__ import annotations

from math import inf

import pytest

from gateway.compile import compile_app
from gateway.config.backend import BackendTimeouts, CircuitBreaker
from gateway.config.schema import Backend, Config, Explain, Fallback, Graph, Node, RouterType, Step
from gateway.http.pool import Pool
from gateway.leases import Leases
from gateway.message import Request, Response
from gateway.telemetry.metrics import Registry
from tests.support.clock import run
from tests.support.service import ask

NAMES = ("a", "b", "c", "d")


def root(kind: RouterType, *steps: Step, **nodes: Node) -> Graph:
    return Graph(nodes={"root": Node(router_type=kind, steps=steps), **nodes})


SEQUENCE = Node(router_type="Sequence", steps=(Step(backend="c"), Step(backend="d")))

GRAPHS = {
    "one step": (root("Sequence", Step(backend="a")), "a"),
    "the last of several": (root("Sequence", Step(backend="a"), Step(backend="b", data="$response")), "b"),
    "a Switch": (root("Switch", Step(backend="a", condition="no"), Step(backend="b")), "b"),
    "a Splitter": (root("Splitter", Step(backend="a", weight=1)), "a"),
    "an Ensemble": (root("Ensemble", Step(backend="a"), Step(backend="b")), ""),
    "a node at the end": (root("Sequence", Step(backend="a"), Step(node_name="n"), n=SEQUENCE), "d"),
    "a node on the way": (root("Sequence", Step(node_name="n"), Step(backend="a"), n=SEQUENCE), "a"),
    "a node here and there": (root("Sequence", Step(node_name="n"), Step(node_name="n"), n=SEQUENCE), "d"),
    "a node of an Ensemble": (root("Ensemble", Step(node_name="n"), n=SEQUENCE), ""),
    "a fallback": (root("Sequence", Step(backend="a", fallback=Fallback(backend="b"))), "ab"),
}


class Asked(list[str]):
    """The backends that were called, in order, and could have streamed. Those called ``a`` answer 500."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Pool, "__call__", lambda pool, request: self._call(pool._name, request))

    async def _call(self, name: str, request: Request) -> Response:
        if request.streams:
            self.append(name)
        return Response(500 if name == "a" else 200, [], b"{}")


async def called(graph: Graph, monkeypatch: pytest.MonkeyPatch, target: bytes = b"/") -> str:
    """The backends that could have streamed."""
    asked = Asked(monkeypatch)
    backends = {name: Backend(url=f"unix:/{name}") for name in NAMES}
    app = compile_app(Config(backends=backends, graphs={"g": graph}), Leases(), Registry.private())
    request = ask()
    request.target = target
    await app(request)
    return "".join(asked)


@pytest.mark.parametrize("case", GRAPHS)
def test_tail_position(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, streams = GRAPHS[case]
    assert run(called(graph, monkeypatch)) == streams


def test_an_explanation_may_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(nodes={"root": SEQUENCE}, explain=Explain(backend="b"))
    assert run(called(graph, monkeypatch, b"/v1/models/g:explain")) == "b"


def test_with_the_rules_of_kserve_nothing_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(called(Graph(nodes={"root": SEQUENCE}, compat="kserve"), monkeypatch)) == ""


@pytest.mark.parametrize("breaker", [None, CircuitBreaker()])
def test_the_timeouts_of_a_backend_are_those_of_its_connections(breaker: CircuitBreaker | None) -> None:
    async def check() -> None:
        leases = Leases()
        for times, expected in (((0.0, 0.0), (0.0, inf)), ((1.0, 2.0), (1.0, 2.0))):
            timeouts = BackendTimeouts(first_byte=times[0], idle=times[1])
            backend = Backend(url="http://127.0.0.1:1", timeouts=timeouts, circuit_breaker=breaker)
            graph = root("Sequence", Step(backend="b"))
            app = compile_app(Config(backends={"b": backend}, graphs={"g": graph}), leases, Registry.private())
            await app.open()
            app.begin()
            (pool,) = leases.sweeper.pools
            assert (pool.first_byte, pool.silence) == expected

    run(check())
