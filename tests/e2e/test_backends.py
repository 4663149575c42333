"""Backends with several endpoints, limits, queues and patience, on real sockets: what their users are promised."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import time
from collections.abc import Awaitable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.config import schema
from gateway.config.backend import (
    Backend,
    BackendTimeouts,
    CircuitBreaker,
    Concurrency,
    ConsistentHash,
    HealthCheck,
    Hedge,
    LoadBalancer,
    OutlierDetection,
    Retry,
    RetryBudget,
)
from gateway.config.schema import Config, Fallback, FallbackResponse, Graph, Node, Step
from gateway.http.tls import server_context
from gateway.layers.budget import WINDOW
from gateway.layers.quantile import ENOUGH
from tests.support.badserver import BadServer, Line, badserver
from tests.support.behaviours import Answer, Hang, Late, Reset
from tests.support.certificates import Authority, Files
from tests.support.counted import total, until
from tests.support.loopback import Answer as Got
from tests.support.loopback import Call, Reply, Running, Stub, after, closed_port, serving, status, stub
from tests.support.raw import Peer, backend
from tests.support.running import Serve, write

pytestmark = pytest.mark.e2e

PREDICT = "/v1/models/m:predict"
IN_TURN = LoadBalancer(type="RoundRobin")


def config(urls: Iterable[str], **options: Any) -> Config:
    """One graph, ``m``, in front of one backend, ``m``, at those URLs."""
    root = Node(router_type="Sequence", steps=(Step(backend="m"),))
    return Config(backends={"m": Backend(endpoints=tuple(urls), **options)}, graphs={"m": Graph(nodes={"root": root})})


async def all_of(calls: Iterable[Awaitable[Got]]) -> list[Got]:
    return await asyncio.gather(*calls)


async def stubs(stack: AsyncExitStack, *replies: Reply) -> list[Stub]:
    return [await stack.enter_async_context(stub(reply)) for reply in replies]


async def servers(stack: AsyncExitStack, count: int) -> list[BadServer]:
    return [await stack.enter_async_context(badserver()) for _ in range(count)]


def counted(gateway: Running, name: str, **labels: str) -> float:
    return total(gateway.registry, name, **labels)


def is_error(answer: Got, status: int, code: str) -> bool:
    return (answer.status, answer.json["code"]) == (status, code)


# Several endpoints.


@pytest.mark.parametrize("kind", ["RoundRobin", "LeastRequest", "Random", "PeakEWMA"])
async def test_three_endpoints_share_the_calls(kind: Any) -> None:
    async with AsyncExitStack() as stack:
        models = await stubs(stack, *(after(0.005, name) for name in (b'"a"', b'"b"', b'"c"')))
        balanced = config((model.url for model in models), load_balancer=LoadBalancer(type=kind))
        gateway = await stack.enter_async_context(serving(balanced))
        answers = [one for _ in range(6) for one in await all_of(gateway.post(PREDICT) for _ in range(10))]
        assert {one.body for one in answers} == {b'"a"', b'"b"', b'"c"'}
        counts = [len(model.calls) for model in models]
        assert sum(counts) == len(answers) == counted(gateway, "gateway_upstream_requests_total", code="200")
        if kind == "RoundRobin":
            assert counts == [20, 20, 20]


async def test_one_that_dies_is_left_out_unseen_and_comes_back_by_one_call() -> None:
    async with AsyncExitStack() as stack:
        models = await servers(stack, 3)
        dead = models[0]
        detection = OutlierDetection(consecutive_local_origin_failures=5, base_ejection_time=0.3)
        urls = (model.url for model in models)
        gateway = await stack.enter_async_context(
            serving(config(urls, load_balancer=IN_TURN, outlier_detection=detection))
        )
        dead.down()
        assert {(await gateway.post(PREDICT)).status for _ in range(40)} == {200}
        assert counted(gateway, "gateway_upstream_connect_failures_total") == 5
        assert counted(gateway, "gateway_upstream_retries_total", reason="connect-failure") == 5
        assert counted(gateway, "gateway_upstream_retry_success_total") == 5
        assert counted(gateway, "gateway_upstream_ejections_total", enforced="true") == 1
        assert counted(gateway, "gateway_upstream_ejected") == 1
        assert counted(gateway, "gateway_upstream_healthy") == 2
        await dead.up()
        dead.does(Late(0.1))
        await asyncio.sleep(0.35)
        trial = asyncio.create_task(gateway.post(PREDICT))
        await dead.arrived.acquire()
        assert {one.status for one in await all_of(gateway.post(PREDICT) for _ in range(9))} == {200}
        assert (len(dead.requests), counted(gateway, "gateway_upstream_ejected")) == (1, 1)
        assert (await trial).status == 200
        assert counted(gateway, "gateway_upstream_ejected") == 0
        for _ in range(9):
            await gateway.post(PREDICT)
        assert len(dead.requests) > 1


async def test_a_health_check_takes_one_out_and_back() -> None:
    ill: set[bytes] = set()

    def model(name: bytes) -> Reply:
        def reply(call: Call) -> bytes | web.Response:
            if call.target == "/up":
                return web.Response(status=503 if name in ill else 200)
            return name

        return reply

    async with AsyncExitStack() as stack:
        models = await stubs(stack, model(b'"a"'), model(b'"b"'))
        check = HealthCheck(path="/up", interval=0.03, unhealthy_threshold=2)
        urls = (one.url for one in models)
        gateway = await stack.enter_async_context(serving(config(urls, load_balancer=IN_TURN, health_check=check)))

        async def seen() -> set[bytes]:
            return {(await gateway.post(PREDICT)).body for _ in range(6)}

        await until(lambda: counted(gateway, "gateway_upstream_health_checks_total", result="success") >= 2)
        assert await seen() == {b'"a"', b'"b"'}
        ill.add(b'"a"')
        await until(lambda: counted(gateway, "gateway_upstream_healthy") == 1)
        assert await seen() == {b'"b"'}
        ill.add(b'"b"')
        await until(lambda: counted(gateway, "gateway_upstream_healthy") == 0)
        answer = await gateway.post(PREDICT)
        assert is_error(answer, 503, "no_healthy_upstream")
        assert answer.header("retry-after") == "1"
        assert (await gateway.get("/v2/health/ready")).status == 503
        ill.clear()
        await until(lambda: counted(gateway, "gateway_upstream_healthy") == 2)
        assert await seen() == {b'"a"', b'"b"'}


async def test_a_header_keeps_to_an_endpoint_that_never_sees_it() -> None:
    by = LoadBalancer(type="ConsistentHash", consistent_hash=ConsistentHash(header="X-User"))
    async with AsyncExitStack() as stack:
        models = await stubs(stack, b'"a"', b'"b"', b'"c"')
        gateway = await stack.enter_async_context(serving(config((one.url for one in models), load_balancer=by)))
        homes = []
        for user in range(12):
            seen = {(await gateway.post(PREDICT, b"{}", ("x-user", f"user {user}"))).body for _ in range(4)}
            assert len(seen) == 1
            homes += seen
        assert len(set(homes)) > 1
        assert not [call for model in models for call in model.calls if call.all("x-user")]


# Limits and queues.


class Narrow:
    """A model server that answers what it is asked, in its own time; ``most``: calls that it has had at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.most = self.now = 0

    async def __call__(self, call: Call) -> web.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
            return web.Response(body=call.body)
        finally:
            self.now -= 1


async def in_order(gateway: Running, count: int) -> list[asyncio.Task[Got]]:
    """So many requests, each sent once the gateway has the one before it."""
    calls: list[asyncio.Task[Got]] = []

    def arrived() -> bool:
        seen = counted(gateway, "gateway_requests_in_flight") + counted(gateway, "gateway_requests_total")
        return seen == len(calls)

    for number in range(count):
        calls.append(asyncio.create_task(gateway.post(PREDICT, b"%d" % number)))
        await until(arrived)
    return calls


async def test_one_at_a_time_and_the_others_in_the_order_in_which_they_came() -> None:
    narrow = Narrow(0.2)
    async with AsyncExitStack() as stack:
        (model,) = await stubs(stack, narrow)
        limited = config([model.url], concurrency=Concurrency(limit=1, queue=3))
        gateway = await stack.enter_async_context(serving(limited))
        assert counted(gateway, "gateway_queue_capacity") == 3
        calls = await in_order(gateway, 6)
        assert counted(gateway, "gateway_queue_depth") == 3
        assert counted(gateway, "gateway_upstream_active_requests") == 4
        narrow.seconds = 0.01
        answers = await all_of(calls)
        assert [one.status for one in answers] == [200, 200, 200, 200, 503, 503]
        assert [one.body for one in answers[:4]] == model.bodies == [b"0", b"1", b"2", b"3"]
        for refused in answers[4:]:
            assert is_error(refused, 503, "upstream_overflow")
            assert refused.header("retry-after") == "1"
        assert narrow.most == 1
        assert counted(gateway, "gateway_queue_depth") == 0
        assert counted(gateway, "gateway_queue_dropped_total", reason="full") == 2


async def test_who_waits_too_long_is_told_so() -> None:
    async with AsyncExitStack() as stack:
        (model,) = await stubs(stack, after(0.3))
        limited = config([model.url], concurrency=Concurrency(limit=1, queue_timeout=0.1))
        gateway = await stack.enter_async_context(serving(limited))
        first = asyncio.create_task(gateway.post(PREDICT))
        await model.arrived.acquire()
        second = await gateway.post(PREDICT)
        assert is_error(second, 503, "queue_timeout")
        assert second.header("retry-after") == "1"
        assert (await first).status == 200
        assert counted(gateway, "gateway_queue_dropped_total", reason="timeout") == 1
        assert len(model.calls) == 1


async def test_a_deadline_passes_in_the_queue() -> None:
    async with AsyncExitStack() as stack:
        (model,) = await stubs(stack, after(0.3))
        gateway = await stack.enter_async_context(serving(config([model.url], concurrency=Concurrency(limit=1))))
        first = asyncio.create_task(gateway.post(PREDICT))
        await model.arrived.acquire()
        began = time.monotonic()
        second = await gateway.post(PREDICT, b"{}", ("x-request-timeout-ms", "80"))
        assert is_error(second, 504, "deadline_exceeded")
        assert time.monotonic() - began < 0.25
        assert (await first).status == 200
        assert counted(gateway, "gateway_queue_dropped_total", reason="deadline") == 1
        assert len(model.calls) == 1


async def test_a_client_that_leaves_the_queue_leaves_no_place_behind() -> None:
    async with AsyncExitStack() as stack:
        (model,) = await stubs(stack, after(0.5))
        gateway = await stack.enter_async_context(serving(config([model.url], concurrency=Concurrency(limit=1))))
        first = asyncio.create_task(gateway.post(PREDICT))
        await model.arrived.acquire()
        second = asyncio.create_task(gateway.post(PREDICT))
        await until(lambda: counted(gateway, "gateway_queue_depth") == 1)
        second.cancel()
        await until(lambda: counted(gateway, "gateway_queue_depth") == 0)
        assert (await first).status == 200
        assert (await gateway.post(PREDICT)).status == 200
        assert counted(gateway, "gateway_queue_dropped_total", reason="cancelled") == 1
        assert len(model.calls) == 2


@pytest.mark.parametrize(
    "breaker",
    [CircuitBreaker(max_requests=2), CircuitBreaker(max_connections=2)],
    ids=["requests", "connections"],
)
async def test_a_circuit_breaker_refuses_at_once_what_is_too_much(breaker: CircuitBreaker) -> None:
    async with AsyncExitStack() as stack:
        (model,) = await stubs(stack, after(0.2))
        gateway = await stack.enter_async_context(serving(config([model.url], circuit_breaker=breaker)))
        calls = [asyncio.create_task(gateway.post(PREDICT)) for _ in range(2)]
        for _ in calls:
            await model.arrived.acquire()
        third = await gateway.post(PREDICT)
        assert is_error(third, 503, "upstream_overflow")
        assert third.header("retry-after") == "1"
        assert not any(call.done() for call in calls)
        assert {one.status for one in await all_of(calls)} == {200}
        assert (await gateway.post(PREDICT)).status == 200
        assert len(model.calls) == 3


# Patience.


async def test_requests_are_held_until_the_model_server_is_up() -> None:
    async with badserver(up=False) as model, serving(config([model.url], hold=20.0)) as gateway:
        assert (await gateway.get("/v2/health/ready")).status == 200
        calls = [asyncio.create_task(gateway.post(PREDICT)) for _ in range(200)]
        await until(lambda: counted(gateway, "gateway_queue_depth") == 200)
        await asyncio.sleep(0.5)
        assert not any(call.done() for call in calls)
        await model.up()
        assert [one.status for one in await all_of(calls)] == [200] * 200
        assert counted(gateway, "gateway_cold_starts_total") == 1
        assert counted(gateway, "gateway_queue_depth") == 0
        assert len(model.requests) == 200


async def test_what_is_held_waits_longer_than_one_attempt_may_take() -> None:
    again = Retry(attempts=2, retry_on=("timeout",), per_try_timeout=0.2)
    async with badserver(up=False) as model, serving(config([model.url], hold=20.0, retry=again)) as gateway:
        model.does(Hang())
        call = asyncio.create_task(gateway.post(PREDICT))
        await asyncio.sleep(0.4)
        assert not call.done()
        await model.up()
        assert (await call).status == 200  # at the second attempt, since the first was too slow
        assert counted(gateway, "gateway_upstream_retries_total", reason="timeout") == 1


async def test_who_waits_in_the_queue_has_not_begun_an_attempt() -> None:
    again = Retry(attempts=2, retry_on=("timeout",), per_try_timeout=0.2)
    async with stub(after(0.15)) as model:
        limited = config([model.url], concurrency=Concurrency(limit=1), retry=again)
        async with serving(limited) as gateway:
            assert [one.status for one in await all_of(gateway.post(PREDICT) for _ in range(3))] == [200] * 3
            assert len(model.calls) == 3


async def test_nobody_is_held_for_ever() -> None:
    async with serving(config([closed_port()], hold=0.2)) as gateway:
        began = time.monotonic()
        answer = await gateway.post(PREDICT)
        assert is_error(answer, 503, "no_healthy_upstream")
        assert 0.15 < time.monotonic() - began < 1.5
        assert counted(gateway, "gateway_queue_dropped_total", reason="timeout") == 1


def told(call: Call) -> bytes:
    """How many milliseconds it was told that it has."""
    return call.all("x-request-timeout-ms")[0].encode()


@pytest.mark.parametrize(
    "options",
    [{}, {"load_balancer": IN_TURN}, {"concurrency": Concurrency(limit=1)}],
    ids=["as it comes", "in a cluster", "with a queue"],
)
async def test_a_model_server_has_the_time_that_it_is_told(options: dict[str, Any]) -> None:
    async with stub(told) as model:
        limited = config([model.url], timeouts=BackendTimeouts(request=0.5), **options)
        async with serving(limited) as gateway:
            assert 400 < int((await gateway.post(PREDICT)).body) <= 500


@pytest.mark.parametrize("options", [{"load_balancer": IN_TURN}, {"concurrency": Concurrency(limit=1)}])
async def test_the_time_of_a_backend_that_is_slower(options: dict[str, Any]) -> None:
    async with stub(after(0.15)) as model:
        limited = config([model.url], timeouts=BackendTimeouts(request=0.2), **options)
        async with serving(limited) as gateway:
            answers = await all_of(gateway.post(PREDICT) for _ in range(3))  # the last one takes 0.45 s with a queue
        assert [one.status for one in answers] == [200] * 3
        limited = config([model.url], timeouts=BackendTimeouts(request=0.05), **options)
        async with serving(limited) as gateway:
            assert is_error(await gateway.post(PREDICT), 504, "upstream_timeout")


async def test_graphs_that_call_the_same_service_have_a_patience_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    async with stub(after(0.2)) as model:
        url = model.url.replace("127.0.0.1", "model.invalid")
        root = Node(router_type="Sequence", steps=(Step(service_url=url),))
        graphs = {
            "hasty": Graph(nodes={"root": root}, service_timeout=0.05),
            "patient": Graph(nodes={"root": root}, service_timeout=5.0),
        }
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        async with serving(Config(graphs=graphs)) as gateway:
            assert is_error(await gateway.post("/v1/models/hasty:predict"), 504, "upstream_timeout")
            assert (await gateway.post("/v1/models/patient:predict")).status == 200


# Second attempts.


async def test_a_call_that_cannot_end_in_time_is_not_made() -> None:
    async with AsyncExitStack() as stack:
        (model,) = await stubs(stack, after(0.1, b"[]"))
        gateway = await stack.enter_async_context(serving(config([model.url])))
        for _ in range(ENOUGH):
            assert (await gateway.post(PREDICT)).status == 200
        hurried = await gateway.post(PREDICT, b"{}", ("x-request-timeout-ms", "60"))
        assert is_error(hurried, 504, "deadline_exceeded")
        assert "half of the calls of m take longer than" in hurried.json["detail"]
        assert len(model.calls) == ENOUGH
        assert (await gateway.post(PREDICT, b"{}", ("x-request-timeout-ms", "1000"))).status == 200


async def test_a_second_call_wins_and_the_slow_one_is_called_off() -> None:
    asked: list[BadServer] = []

    async def slow_at_first(line: Line) -> None:
        asked.append(line.server)
        await (Hang() if len(asked) == 1 else Answer(200, b'"quick"'))(line)

    async with AsyncExitStack() as stack:
        models = await servers(stack, 2)
        for model in models:
            model.does(always=slow_at_first)
        hedged = config((model.url for model in models), hedge=Hedge(after="50ms", budget_percent=100))
        gateway = await stack.enter_async_context(serving(hedged))
        answer = await gateway.post(PREDICT)
        assert (answer.status, answer.body) == (200, b'"quick"')
        slow, quick = asked
        assert slow is not quick
        async with asyncio.timeout(0.5):
            await slow.closed.wait()
        assert not quick.closed.is_set()
        assert quick.requests[0].header("x-gateway-attempt-count") == "2"
        assert counted(gateway, "gateway_upstream_hedges_total", result="won") == 1
        assert counted(gateway, "gateway_upstream_requests_total") == 1
        await until(lambda: counted(gateway, "gateway_upstream_connections") == 1)


async def test_a_storm_of_retries_does_not_come() -> None:
    requests, workers = 200, 10
    async with AsyncExitStack() as stack:
        models = await stubs(stack, *[status(500, b'{"error":"its own"}')] * 3)
        again = Retry(attempts=5, retry_on=("5xx",), budget=RetryBudget(percent=20, min_per_second=2))
        gateway = await stack.enter_async_context(serving(config((one.url for one in models), retry=again)))

        async def client() -> set[bytes]:
            return {(await gateway.post(PREDICT)).body for _ in range(requests // workers)}

        clients = [asyncio.create_task(client()) for _ in range(workers)]
        assert {body for one in clients for body in await one} == {b'{"error":"its own"}'}
        attempts = sum(len(model.calls) for model in models)
        retries = counted(gateway, "gateway_upstream_retries_total", reason="5xx")
        assert attempts == requests + retries
        assert requests + 2 * WINDOW <= attempts <= 1.2 * requests + 2 * WINDOW
        assert counted(gateway, "gateway_upstream_retry_budget_exhausted_total") > 0


@pytest.mark.parametrize(
    ("instead", "body", "route"),
    [
        (Fallback(backend="spare"), b'"spare"', "root=m, root=m~fallback"),
        (Fallback(node_name="other"), b'"spare"', "root=m, root=m~fallback, other=spare"),
        (Fallback(response=FallbackResponse(body=[])), b"[]", "root=m, root=m~fallback"),
    ],
    ids=["backend", "node", "response"],
)
async def test_something_else_stands_in_when_every_attempt_has_failed(
    instead: Fallback, body: bytes, route: str
) -> None:
    async with AsyncExitStack() as stack:
        broken, spare = await stubs(stack, status(500, b"{}"), b'"spare"')
        again = Retry(attempts=3, retry_on=("5xx",))
        with_fallback = Config(
            backends={"m": Backend(url=broken.url, retry=again), "spare": Backend(url=spare.url)},
            graphs={
                "m": Graph(
                    nodes={
                        "root": Node(router_type="Splitter", steps=(Step(backend="m", weight=1, fallback=instead),)),
                        "other": Node(router_type="Splitter", steps=(Step(backend="spare", weight=1),)),
                    }
                )
            },
        )
        gateway = await stack.enter_async_context(serving(with_fallback))
        answer = await gateway.post(PREDICT)
        assert (answer.status, answer.body) == (200, body)
        assert answer.header("x-gateway-route") == route
        assert len(broken.calls) == 3


@pytest.mark.parametrize(
    ("options", "heard"),
    [
        ({}, 1),
        ({"load_balancer": IN_TURN}, 1),
        ({"hedge": Hedge(after="20ms", budget_percent=100)}, 2),
        ({"retry": Retry(attempts=9, retry_on=("timeout",), per_try_timeout=0.1)}, 2),
        ({"concurrency": Concurrency(limit=1), "hedge": Hedge(after="20ms", budget_percent=100)}, 2),
    ],
    ids=["one endpoint", "several", "hedge", "retry", "queue"],
)
async def test_a_client_that_leaves_takes_everything_with_it(options: dict[str, Any], heard: int) -> None:
    tasks = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        models = await servers(stack, 2 if options else 1)
        for model in models:
            model.does(always=Hang())
        gateway = await stack.enter_async_context(serving(config((model.url for model in models), **options)))
        call = asyncio.create_task(gateway.post(PREDICT))
        await until(lambda: sum(len(model.requests) for model in models) >= heard)
        call.cancel()
        await until(lambda: counted(gateway, "gateway_requests_total", code="499") == 1)
        await until(lambda: counted(gateway, "gateway_upstream_connections") == 0)
        await until(lambda: not any(model.lines for model in models))
        assert counted(gateway, "gateway_upstream_requests_total", code="cancelled") == 1
        for gauge in ("gateway_requests_in_flight", "gateway_upstream_active_requests", "gateway_queue_depth"):
            assert counted(gateway, gauge) == 0
        for model in models:
            model.does(always=Answer())
        assert (await gateway.post(PREDICT)).status == 200
    await asyncio.wait([call])
    await asyncio.sleep(0.001)
    assert asyncio.all_tasks() == tasks


# Reloads of a real gateway.


def text(urls: Iterable[str], options: str) -> str:
    endpoints = ", ".join(f'"{url}"' for url in urls)
    return f"""
server: {{listen: "127.0.0.1:0", workers: 1, drain: {{delay: 0s, timeout: 5s}}}}
admin: {{listen: "127.0.0.1:0"}}
backends:
  m:
    endpoints: [{endpoints}]
    loadBalancer: {{type: RoundRobin}}
    {options}
graphs:
  m: {{nodes: {{root: {{routerType: Sequence, steps: [{{backend: m}}]}}}}}}
"""


async def posted(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.post(url + PREDICT, json={}) as answer:
        return answer.status, await answer.text()


async def test_a_reload_forgets_neither_connections_nor_ejections_and_the_admin_site_shows_both(
    serve: Serve, file: Path
) -> None:
    outliers = "outlierDetection: {consecutiveLocalOriginFailures: 2, baseEjectionTime: 60s}"
    retry = "retry: {{attempts: {}, retryOn: [reset]}}"
    async with AsyncExitStack() as stack:
        models = await servers(stack, 2)
        urls = [model.url for model in models]
        models[0].does(always=Reset())
        gateway = await serve(text(urls, f"{outliers}\n    {retry.format(2)}"))
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def ejected() -> dict[str, bool]:
            async with session.get(f"{gateway.admin}/clusters?format=json") as answer:
                (rows,) = [one["clusters"] for one in await answer.json()]
                assert {row["backend"] for row in rows} == {"m"}
                return {row["url"]: row["ejected"] for row in rows}

        assert await ejected() == dict.fromkeys(urls, False)
        for _ in range(6):
            assert (await posted(session, gateway.data))[0] == 200
        assert await ejected() == {urls[0]: True, urls[1]: False}
        async with session.get(f"{gateway.admin}/clusters") as answer:
            table = await answer.text()
            assert urls[0] in table
            assert "ejected" in table
        opened = models[1].connections
        heard = len(models[0].requests)
        write(file, text(urls, f"{outliers}\n    {retry.format(4)}\n    concurrency: {{limit: 2, queue: 7}}"))
        await gateway.reload()
        assert await gateway.metric('gateway_queue_capacity{backend="m"}') == 7
        assert await gateway.metric('gateway_upstream_ejected{backend="m"}') == 1
        for _ in range(6):
            assert (await posted(session, gateway.data))[0] == 200
        assert await ejected() == {urls[0]: True, urls[1]: False}
        assert (models[1].connections, len(models[0].requests)) == (opened, heard)
        write(file, text(urls, retry.format(4)))
        await gateway.reload()
        assert await ejected() == dict.fromkeys(urls, False)
        assert await gateway.metric('gateway_queue_capacity{backend="m"}') == 0
        assert models[1].connections == opened


CHANGES = (
    "",
    "healthCheck: {interval: 50ms, path: /up}",
    "outlierDetection: {}",
    "concurrency: {limit: 4}",
    "concurrency: {limit: 1, queue: 50}\n    hold: 5s",
    "concurrency: {limit: 100, adaptive: true}",
    "hedge: {after: 50ms}\n    retry: {attempts: 3, retryOn: [5xx]}",
    "circuitBreaker: {maxConnections: 100, maxRequests: 100}",
)


@pytest.mark.parametrize("count", [1, 2])
async def test_whatever_a_reload_changes_nothing_is_lost_and_nothing_stays_behind(
    serve: Serve, file: Path, count: int
) -> None:
    async with AsyncExitStack() as stack:
        models = await servers(stack, count)
        urls = [model.url for model in models]
        gateway = await serve(text(urls, ""))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stop = asyncio.Event()

        async def client() -> set[int]:
            statuses = set()
            while not stop.is_set():
                statuses.add((await posted(session, gateway.data))[0])
            return statuses

        clients = [asyncio.create_task(client()) for _ in range(8)]
        for number, change in enumerate((*CHANGES, *reversed(CHANGES))):
            changed = text(urls[(number + 1) % count :], change)  # all of them at last
            write(file, changed if change else changed.replace("loadBalancer: {type: RoundRobin}", ""))
            await gateway.reload()
            await asyncio.sleep(0.02)
        stop.set()
        assert [await one for one in clients] == [{200}] * 8
        heard = sum(request.method == "POST" for model in models for request in model.requests)
        assert await gateway.metric("gateway_requests_total") == heard
        assert await gateway.metric("gateway_upstream_connections{") == sum(len(model.lines) for model in models)
        clustered = 0 if count == 1 else count  # one endpoint of which nothing need be known is just its connections
        for gauge, value in (("endpoints", clustered), ("healthy", clustered), ("active_requests", 0), ("ejected", 0)):
            assert await gateway.metric(f"gateway_upstream_{gauge}") == value
        for gauge in ("depth", "capacity"):
            assert await gateway.metric(f"gateway_queue_{gauge}") == 0
        assert not [line for line in gateway.log if "Traceback" in line or " ERROR " in line]


def install(files: Files, certificate: Path, key: Path) -> None:
    shutil.copy(files.certificate, certificate)
    shutil.copy(files.key, key)


@pytest.mark.parametrize("options", ["", "outlierDetection: {}"], ids=["as it comes", "in a cluster"])
async def test_a_renewed_client_certificate_is_shown_on_new_connections(
    serve: Serve, file: Path, tmp_path: Path, options: str
) -> None:
    authority = Authority(tmp_path)
    model = authority.sign("localhost")
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    shown: list[str] = []

    async def answers(peer: Peer) -> None:
        ((_, name),) = peer.writer.get_extra_info("peercert")["subject"][0]
        shown.append(name)
        while (await peer.message())[0]:
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(name), name.encode()))

    server = schema.ServerTls(cert_file=model.certificate, key_file=model.key, client_ca_file=authority.file)
    async with backend(answers, tls=server_context(server)) as found, aiohttp.ClientSession() as session:
        tls = f'tls: {{caFile: "{authority.file}", certFile: "{certificate}", keyFile: "{key}"}}'
        install(authority.sign("first"), certificate, key)
        single = text([found.url], f"{options}\n    {tls}").replace("loadBalancer: {type: RoundRobin}", "")
        gateway = await serve(single)
        for _ in range(2):
            assert await posted(session, gateway.data) == (200, "first")
        await gateway.reload()
        assert await posted(session, gateway.data) == (200, "first")
        assert shown == ["first"]
        install(authority.sign("second"), certificate, key)
        await gateway.reload()
        for _ in range(3):
            assert await posted(session, gateway.data) == (200, "second")
        assert shown == ["first", "second"]
        await until(lambda: found.peers[0].reader.at_eof())
        certificate.write_text("no certificate")
        gateway.signal(signal.SIGHUP)
        await gateway.logs("reload failed")
        assert await posted(session, gateway.data) == (200, "second")
        install(authority.sign("third"), certificate, key)
        await gateway.reload()
        assert await posted(session, gateway.data) == (200, "third")
        assert shown == ["first", "second", "third"]
        assert not [line for line in gateway.log if "Traceback" in line]
