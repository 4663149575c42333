from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from math import inf
from typing import Any

import pytest

from gateway.config.backend import (
    Backend,
    BackendTimeouts,
    CircuitBreaker,
    Concurrency,
    ConsistentHash,
    HeaderRules,
    HealthCheck,
    LoadBalancer,
    OutlierDetection,
    Retry,
)
from gateway.errors import GatewayError, UpstreamConnectFailure, UpstreamOverflow, UpstreamReset
from gateway.http.origin import Origin, split
from gateway.message import Request, Response
from gateway.telemetry.metrics import Registry, read
from gateway.upstream.backend import Upstream
from gateway.upstream.endpoint import Endpoint
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask

A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"


class Wires(MockService):
    """The connections of one endpoint, as a test wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.always(answer())
        self.connect_timeout = -1.0
        self.max_connections = -1
        self.up = True
        self.open = True
        """One connection is, or they say so."""
        self.dialled = 0

    async def reachable(self) -> bool:
        return self.open or await self.reach()

    async def reach(self) -> bool:
        self.dialled += 1
        return self.up


class Scene:
    """An upstream, what it connected to, and what it let go of."""

    def __init__(self, *urls: str, workers: int = 1, **config: Any) -> None:
        self.wires: dict[tuple[Origin, str], Wires] = {}
        self.gone: list[tuple[Origin, str]] = []
        self.registry = Registry.private()
        self.urls = urls or (A, B)
        origins = [split(url)[0] for url in self.urls]
        self.upstream = Upstream(
            "iris", origins, self._connect, lambda *key: self.gone.append(key), self.registry, workers
        )
        self.configure(**config)

    def _connect(self, origin: Origin, address: str) -> Wires:
        wires = self.wires[origin, address] = Wires()
        return wires

    def configure(self, **config: Any) -> None:
        self.upstream.configure(Backend(endpoints=self.urls, **config))

    @property
    def endpoints(self) -> list[Endpoint]:
        return self.upstream.cluster.endpoints

    @property
    def each(self) -> list[Wires]:
        return list(self.wires.values())

    def always(self, outcome: Response | GatewayError | None, after: float = 0.0) -> None:
        for wires in self.each:
            wires.always(outcome, after)

    def ask(self, request: Request | None = None) -> asyncio.Task[Response]:
        return asyncio.ensure_future(self.upstream.cluster(request or ask()))  # type: ignore[arg-type]

    def gauge(self, name: str) -> float:
        return sum(cells[0] for series, cells in read(self.registry.segment) if series.name == name)

    @property
    def asked(self) -> list[bytes]:
        return [request.target for wires in self.each for request in wires.requests]


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# What a reload adds, changes and takes away.


@virtual
async def test_health_checks_begin_and_end_with_their_configuration() -> None:
    scene = Scene()
    scene.always(answer(status=500))
    await asyncio.sleep(60)
    assert scene.asked == []
    scene.configure(health_check=HealthCheck(path="/up"))
    await asyncio.sleep(1)
    assert scene.asked == [b"/up"] * 2
    assert [one.healthy for one in scene.endpoints] == [False, False]
    assert not await scene.upstream.cluster.ready()
    scene.configure()
    assert [one.healthy for one in scene.endpoints] == [True, True]
    await asyncio.sleep(60)
    assert scene.asked == [b"/up"] * 2
    scene.upstream.close()


@virtual
async def test_a_changed_check_keeps_its_verdicts() -> None:
    scene = Scene(A, health_check=HealthCheck(path="/up"))
    scene.always(answer(status=500))
    await asyncio.sleep(1)
    scene.configure(health_check=HealthCheck(path="/other"))
    assert [one.healthy for one in scene.endpoints] == [False]
    await asyncio.sleep(1)
    assert scene.asked == [b"/up", b"/other"]
    scene.upstream.close()


@virtual
async def test_ejections_begin_and_end_with_their_configuration() -> None:
    turns = LoadBalancer(type="RoundRobin")
    scene = Scene(load_balancer=turns)
    scene.each[0].always(UpstreamReset("gone"))

    async def ejected() -> list[bool]:
        for _ in range(4):
            call = scene.ask()
            await asyncio.wait([call])
            call.exception()
        return [one.ejected for one in scene.endpoints]

    assert await ejected() == [False, False]
    in_a_row = OutlierDetection(consecutive_local_origin_failures=2)
    scene.configure(load_balancer=turns, outlier_detection=in_a_row)
    assert await ejected() == [True, False]
    scene.configure(
        load_balancer=turns,
        hold=1.0,
        outlier_detection=OutlierDetection(consecutive_local_origin_failures=2, base_ejection_time=60.0),
    )
    assert [one.ejected for one in scene.endpoints] == [True, False]
    scene.configure(load_balancer=turns)
    assert [one.ejected for one in scene.endpoints] == [False, False]
    assert scene.gauge("gateway_upstream_ejected") == 0
    scene.upstream.close()


@virtual
async def test_a_limit_comes_and_goes_while_calls_are_under_way() -> None:
    scene = Scene(A)
    scene.always(answer(), after=1.0)
    calls = [scene.ask() for _ in range(3)]
    await turns()
    assert scene.endpoints[0].active == 3
    scene.configure(concurrency=Concurrency(limit=1))
    calls += [scene.ask() for _ in range(3)]
    await turns()
    assert (scene.endpoints[0].active, scene.gauge("gateway_queue_depth")) == (3, 3)
    scene.configure()
    await turns()
    assert (scene.endpoints[0].active, scene.gauge("gateway_queue_depth")) == (6, 0)
    await asyncio.wait(calls)
    scene.upstream.close()


@virtual
async def test_what_did_not_change_is_not_begun_anew() -> None:
    balancer = LoadBalancer(type="RoundRobin", slow_start=10.0)
    scene = Scene(load_balancer=balancer, concurrency=Concurrency(adaptive=True))
    cluster = scene.upstream.cluster
    before = cluster._settings
    scene.configure(load_balancer=balancer, concurrency=Concurrency(adaptive=True))
    assert cluster._settings is before
    scene.configure(load_balancer=balancer, concurrency=Concurrency(adaptive=True), hold=1.0)
    assert (cluster._settings.picker, cluster._settings.adaptive) == (before.picker, before.adaptive)
    scene.configure(concurrency=Concurrency(adaptive=True, limit=3))
    assert cluster._settings.picker is not before.picker
    assert cluster._settings.adaptive is not before.adaptive
    scene.configure()
    assert cluster._settings.adaptive is None
    scene.upstream.close()


@virtual
async def test_every_kind_of_balancing_is_told_of_the_calls_if_it_must_be() -> None:
    scene = Scene(load_balancer=LoadBalancer(type="PeakEWMA"), outlier_detection=OutlierDetection())
    assert len(scene.upstream.cluster._watches) == 2
    scene.always(answer(), after=1.0)
    await scene.ask()
    assert sorted(one.measured for one in scene.endpoints) == [-inf, 1.0]
    scene.upstream.close()


@virtual
async def test_the_key_of_a_request_finds_its_endpoint() -> None:
    by = LoadBalancer(type="ConsistentHash", consistent_hash=ConsistentHash(header="x-user"))
    scene = Scene(load_balancer=by)
    for number in range(20):
        request = ask()
        request.affinity = b"%d" % number
        for _ in range(3):
            await scene.ask(request)
    counts = sorted(len(wires.requests) for wires in scene.each)
    assert sum(counts) == 60
    assert counts[0] % 3 == 0
    assert counts[0] > 0
    scene.upstream.close()


# Limits are meant for all workers together.


@pytest.mark.parametrize(("workers", "at_once", "waiting"), [(1, 4, 6), (2, 2, 3), (3, 2, 2), (100, 1, 1)])
@virtual
async def test_concurrency_is_divided_by_the_workers(workers: int, at_once: int, waiting: int) -> None:
    scene = Scene(A, workers=workers, concurrency=Concurrency(limit=4, queue=6))
    scene.always(answer(), after=1.0)
    calls = [scene.ask() for _ in range(20)]
    await turns()
    assert (scene.endpoints[0].active, scene.gauge("gateway_queue_depth")) == (at_once, waiting)
    await asyncio.wait(calls)
    assert sum(isinstance(call.exception(), UpstreamOverflow) for call in calls) == 20 - at_once - waiting
    scene.upstream.close()


@pytest.mark.parametrize(("limit", "told"), [(0, 0), (1, 1), (2, 0)])
def test_a_limit_that_is_too_small_to_be_divided_is_told(
    caplog: pytest.LogCaptureFixture, limit: int, told: int
) -> None:
    @virtual
    async def scenario() -> None:
        Scene(A, workers=2, concurrency=Concurrency(limit=limit)).upstream.close()

    scenario()
    assert [one.message.partition(",")[0] for one in caplog.records] == ["backend iris: concurrency.limit is 1"] * told


@pytest.mark.parametrize(("workers", "most"), [(1, 5), (2, 3), (100, 1)])
@virtual
async def test_circuit_breakers_are_divided_by_the_workers(workers: int, most: int) -> None:
    scene = Scene(workers=workers, circuit_breaker=CircuitBreaker(max_connections=5, max_requests=5))
    assert [wires.max_connections for wires in scene.each] == [most, most]
    scene.always(answer(), after=1.0)
    calls = [scene.ask() for _ in range(8)]
    await asyncio.wait(calls)
    assert sum(call.exception() is None for call in calls) == most
    scene.configure()
    assert [wires.max_connections for wires in scene.each] == [0, 0]
    assert (await scene.ask()).status == 200
    scene.upstream.close()


@virtual
async def test_an_adaptive_limit_is_bounded_by_this_workers_part() -> None:
    scene = Scene(workers=2, concurrency=Concurrency(adaptive=True, limit=9))
    adaptive = scene.upstream.cluster._settings.adaptive
    assert adaptive is not None
    assert adaptive._most == 5
    scene.upstream.close()


# Time.


@virtual
async def test_the_time_limit_begins_when_a_call_is_sent() -> None:
    scene = Scene(A, concurrency=Concurrency(limit=1), timeouts=BackendTimeouts(connect=0.5, request=1.0))
    assert scene.each[0].connect_timeout == 0.5
    scene.always(answer(), after=0.5)
    request = ask(deadline=10.0)
    request.stamp = b"x-request-timeout-ms: 10000\r\n"
    await asyncio.wait([scene.ask(request.derive(10.0)) for _ in range(3)])
    sent = scene.each[0].requests
    assert [one.deadline for one in sent] == [1.0, 1.5, 2.0]
    assert {one.stamp for one in sent} == {b"x-request-timeout-ms: 1000\r\n"}
    assert (request.deadline, request.stamp) == (10.0, b"x-request-timeout-ms: 10000\r\n")
    scene.upstream.close()


@pytest.mark.parametrize(("request_time", "per_try", "limit"), [(2.0, 0.0, 2.0), (2.0, 1.0, 1.0), (0.0, 1.0, 1.0)])
@virtual
async def test_the_time_of_one_attempt_begins_then_too(request_time: float, per_try: float, limit: float) -> None:
    timeouts, again = BackendTimeouts(request=request_time), Retry(per_try_timeout=per_try)
    scene = Scene(A, concurrency=Concurrency(limit=1), timeouts=timeouts, retry=again)
    scene.always(answer(), after=0.5)
    await asyncio.wait([scene.ask(ask(deadline=10.0)) for _ in range(2)])
    assert [one.deadline for one in scene.each[0].requests] == [limit, limit + 0.5]
    scene.upstream.close()


@virtual
async def test_a_model_server_is_told_what_the_queue_has_left_of_the_time() -> None:
    scene = Scene(A, concurrency=Concurrency(limit=1), timeouts=BackendTimeouts(request=0.0))
    scene.always(answer(), after=0.5)
    request = ask(deadline=2.0)
    request.stamp = b"x-request-timeout-ms: 2000\r\nx-gateway-attempt-count: 2\r\n"
    await asyncio.wait([scene.ask(request) for _ in range(2)])
    assert [b"x-request-timeout-ms: 2000\r\n" in one.stamp for one in scene.each[0].requests] == [True, False]
    assert scene.each[0].requests[1].stamp == b"x-request-timeout-ms: 1500\r\nx-gateway-attempt-count: 2\r\n"
    assert scene.each[0].requests[1].deadline == 2.0
    scene.upstream.close()


@virtual
async def test_where_nobody_waits_the_caller_has_set_the_limit_already() -> None:
    scene = Scene(A, timeouts=BackendTimeouts(request=1.0))
    await scene.ask(ask(deadline=10.0))
    assert scene.each[0].requests[0].deadline == 10.0
    scene.configure(timeouts=BackendTimeouts(request=1.0), hold=5.0)
    await scene.ask(ask(deadline=10.0))
    assert scene.each[0].requests[1].deadline == 1.0
    scene.upstream.close()


# Where it is.


@pytest.mark.parametrize("url", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:80", "unix:/run/m.sock"])
@virtual
async def test_what_needs_no_looking_up_is_one_endpoint_at_once(url: str) -> None:
    scene = Scene(url)
    assert [(one.origin, one.address) for one in scene.endpoints] == [(split(url)[0], "")]
    await scene.upstream.open()
    assert asyncio.get_running_loop().time() == 0.0
    scene.upstream.close()
    assert scene.gone == [(split(url)[0], "")]


def known(*addresses: str) -> Iterable[tuple[object, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


def test_every_address_of_a_name_is_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["10.0.0.1", "10.0.0.2"]

    async def getaddrinfo(*_: object, **__: object) -> Iterable[tuple[object, ...]]:
        return known(*found)

    @virtual
    async def scenario() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        scene = Scene(
            "http://models:80",
            timeouts=BackendTimeouts(connect=0.5),
            health_check=HealthCheck(),
            outlier_detection=OutlierDetection(),
        )
        assert scene.endpoints == []
        await scene.upstream.open()
        origin = Origin("models", 80)
        assert list(scene.wires) == [(origin, "10.0.0.1"), (origin, "10.0.0.2")]
        assert {wires.connect_timeout for wires in scene.each} == {0.5}
        first, second = scene.endpoints
        found[:] = ["10.0.0.2", "10.0.0.3"]
        await asyncio.sleep(40)
        assert scene.endpoints[0] is second
        assert scene.gone == [(origin, "10.0.0.1")]
        asked = [len(wires.requests) for wires in scene.each]
        await asyncio.sleep(20)
        more = [len(wires.requests) - before for wires, before in zip(scene.each, asked, strict=True)]
        assert more[0] == 0
        assert min(more[1:]) > 0
        assert first not in scene.endpoints
        scene.upstream.close()
        assert sorted(address for _, address in scene.gone) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]

    scenario()


def test_who_comes_up_at_another_address_is_found_long_before_the_next_regular_look_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = ["10.0.0.1"]

    async def getaddrinfo(*_: object, **__: object) -> Iterable[tuple[object, ...]]:
        return known(*found)

    @virtual
    async def scenario() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        scene = Scene("http://models:80", hold=60.0)
        await scene.upstream.open()
        scene.each[0].always(UpstreamConnectFailure("nobody is there"))
        scene.each[0].up = False
        waiting = scene.ask()
        await asyncio.sleep(5)
        assert not waiting.done()
        found[:] = ["10.0.0.2"]
        assert (await waiting).status == 200
        assert asyncio.get_running_loop().time() < 8
        scene.upstream.close()

    scenario()


# Health checks and readiness.


@pytest.mark.parametrize(
    ("url", "protocol", "path", "target"),
    [
        ("http://127.0.0.1", "v1", None, b"/"),
        ("http://127.0.0.1/team/a", "v1", None, b"/team/a/"),
        ("http://127.0.0.1/team/a/", "v2", None, b"/team/a/v2/health/ready"),
        ("http://127.0.0.1/team/a", "v2", "/up?x", b"/up?x"),
        ("unix:/run/m.sock", "v2", None, b"/v2/health/ready"),
    ],
)
@virtual
async def test_what_checks_ask_for(url: str, protocol: Any, path: str | None, target: bytes) -> None:
    rules = HeaderRules(set={"Authorization": "Bearer x"})
    scene = Scene(url, protocol=protocol, health_check=HealthCheck(path=path), headers=rules)
    await asyncio.sleep(1)
    (request,) = scene.each[0].requests
    assert (request.method, request.target) == (b"GET", target)
    assert request.headers == [(b"authorization", b"Bearer x")]
    scene.upstream.close()


@virtual
async def test_readiness_dials_only_where_no_connection_is_open() -> None:
    scene = Scene(A)
    for _ in range(5):
        assert await scene.upstream.cluster.ready()
    assert scene.each[0].dialled == 0
    scene.each[0].open = False
    assert await scene.upstream.cluster.ready()
    assert scene.each[0].dialled == 1
    scene.upstream.close()


@virtual
async def test_an_endpoint_that_could_not_be_reached_must_accept_a_new_connection() -> None:
    scene = Scene(A, hold=5.0)
    scene.each[0].up = False
    scene.each[0].fails(UpstreamConnectFailure("refused"))
    call = scene.ask()
    await asyncio.sleep(2)
    assert not call.done()
    assert scene.each[0].dialled > 0
    scene.each[0].up = True
    assert (await call).status == 200
    scene.upstream.close()


# Its end, and what it says of itself.


@virtual
async def test_its_end_lets_go_of_everything() -> None:
    scene = Scene(health_check=HealthCheck(), outlier_detection=OutlierDetection(), hold=5.0)
    await asyncio.sleep(1)
    scene.each[0].fails(UpstreamConnectFailure("refused"))
    scene.each[1].fails(UpstreamConnectFailure("refused"))
    scene.each[1].up = False
    assert (await scene.ask()).status == 200
    scene.upstream.close()
    assert len(scene.gone) == 2
    await turns()
    assert len(asyncio.all_tasks()) == 1
    for name in ("gateway_upstream_endpoints", "gateway_upstream_healthy", "gateway_queue_capacity"):
        assert scene.gauge(name) == 0


@virtual
async def test_its_state() -> None:
    scene = Scene(A)
    assert scene.upstream.describe() == scene.upstream.cluster.describe()
    assert repr(scene.upstream) == "<Upstream <Cluster iris 1/1 calls=0 <Line iris 0/0>>>"
    scene.upstream.close()
