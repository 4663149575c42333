"""The flags of the access log, each by a failure of its own: a real model server does it, or a real client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config.backend import BackendTimeouts, CircuitBreaker, Concurrency, HealthCheck, Retry
from gateway.config.schema import AccessLog, Backend, Config, Graph, Node, Step, Telemetry
from tests.support.badserver import badserver
from tests.support.behaviours import GARBAGE, Answer, Behaviour, Close, Events, Hang, Reset, Up
from tests.support.loopback import Running, request, serving
from tests.test_compile_access import lines

PREDICT = "/v1/models/g:predict"
STREAM = Answer(200, b"x" * 200, chunk=50)


def configuration(path: Path, url: str, condition: str | None = None, timeout: float = 30.0, **of: Any) -> Config:
    """One graph, ``g``: a Switch, to the one backend. ``of``: more about that."""
    steps = (Step(backend="b", condition=condition),)
    backend = Backend(**{"url": url, "retry": Retry(attempts=1)} | of)
    return Config(
        backends={"b": backend},
        graphs={"g": Graph(nodes={"root": Node(router_type="Switch", steps=steps)}, timeout=timeout)},
        telemetry=Telemetry(access_log=AccessLog(path=str(path))),
    )


async def last(gateway: Running, path: Path) -> tuple[int, str, str]:
    """Status, flags and details of the last line."""
    line = (await lines(gateway, path))[-1]
    return line["status"], line["flags"], line["details"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


async def said(gateway: Running, *headers: tuple[str, str]) -> None:
    """Ask, and take whatever comes until the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.number)
    writer.write(request("POST", PREDICT, b"{}", headers))
    await reader.read()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("does", "found"),
    [
        (Close(), (502, "UC", "upstream_reset")),
        (Close(Up.INTO_THE_BODY), (502, "UC", "upstream_reset")),
        (Close(Up.INTO_THE_BODY, STREAM), (502, "UC", "upstream_reset")),
        (Reset(), (502, "UR", "upstream_reset")),
        (Reset(Up.INTO_THE_HEAD), (502, "UR", "upstream_reset")),
        (Reset(Up.INTO_THE_BODY, STREAM), (502, "UR", "upstream_reset")),
        (GARBAGE, (502, "UPE", "upstream_protocol_error")),
        (Hang(), (504, "UT", "upstream_timeout")),
        (Answer(500), (500, "-", "")),
        (Answer(200), (200, "-", "")),
    ],
)
async def test_what_the_model_server_does(path: Path, does: Behaviour, found: tuple[int, str, str]) -> None:
    async with badserver() as server:
        server.does(always=does)
        config = configuration(path, server.url, timeouts=BackendTimeouts(request=0.2))
        async with serving(config) as gateway:
            await said(gateway)
            assert await last(gateway, path) == found


async def test_a_reset_that_was_got_over_is_not_the_cause_of_what_comes_then(path: Path) -> None:
    async with badserver() as server:
        server.does(Reset(), Close(), Reset(), always=Answer())
        retry = Retry(attempts=2, retry_on=("reset",), budget=msgspec.structs.replace(Retry().budget, percent=100))
        async with serving(configuration(path, server.url, retry=retry)) as gateway:
            await said(gateway)
            await said(gateway)
            found = [(line["status"], line["flags"]) for line in await lines(gateway, path)]
    assert found == [(502, "UC,URX"), (200, "-")]


async def test_nobody_listens(path: Path) -> None:
    async with badserver(up=False) as server, serving(configuration(path, server.url)) as gateway:
        await said(gateway)
        assert await last(gateway, path) == (503, "UF", "upstream_connect_failure")


async def test_the_time_of_the_graph_is_over(path: Path) -> None:
    async with badserver() as server:
        server.does(Hang())
        async with serving(
            configuration(path, server.url, timeout=0.1, concurrency=Concurrency(limit=1, queue=1))
        ) as one:
            waiting = [asyncio.create_task(said(one)) for _ in range(2)]
            await asyncio.wait(waiting)
            found = [(line["status"], line["details"], line["flags"]) for line in await lines(one, path)]
    assert set(found) <= {(504, "upstream_timeout", "UT"), (504, "deadline_exceeded", "DT")}
    assert (504, "deadline_exceeded", "DT") in found


async def test_no_endpoint_is_well(path: Path) -> None:
    async with badserver() as server:
        server.does(always=Answer(500))
        check = HealthCheck(path="/up", interval=0.02, unhealthy_threshold=1)
        async with serving(configuration(path, server.url, health_check=check)) as gateway:
            while (await gateway.post(PREDICT)).status != 503:
                await server.arrived.acquire()
            assert await last(gateway, path) == (503, "UH", "no_healthy_upstream")


async def test_too_many_calls(path: Path) -> None:
    async with badserver() as server:
        server.does(always=Hang())
        async with serving(configuration(path, server.url, circuit_breaker=CircuitBreaker(max_requests=1))) as gateway:
            call = asyncio.create_task(gateway.post(PREDICT))
            await server.arrived.acquire()
            await said(gateway)
            assert await last(gateway, path) == (503, "UO", "upstream_overflow")
            await _given_up(call)


async def test_the_client_leaves(path: Path) -> None:
    async with badserver() as server:
        server.does(Hang())
        async with serving(configuration(path, server.url)) as gateway:
            call = asyncio.create_task(gateway.post(PREDICT))
            await server.arrived.acquire()
            await _given_up(call)
            await server.closed.wait()
            assert await last(gateway, path) == (499, "DC", "client_closed_request")


@pytest.mark.parametrize("does", [Hang(), Events(1, then=Hang())])
async def test_a_drain_that_runs_out_of_time(path: Path, does: Behaviour) -> None:
    async with badserver() as server:
        server.does(does)
        async with serving(configuration(path, server.url)) as gateway:
            call = asyncio.create_task(said(gateway))
            await server.arrived.acquire()
            assert not await gateway.server.drain(0.1)
            await asyncio.wait([call])
            assert await last(gateway, path) == (503, "LR", "connection_cut")


@pytest.mark.parametrize(
    ("condition", "headers", "found"),
    [
        ("a", [], (404, "NR", "no_route_matched")),
        ("a", [("content-encoding", "what")], (415, "DPE", "unsupported_media_type")),
        ("a", [("content-encoding", "gzip")], (400, "DPE", "bad_request")),
        (None, [("x-request-timeout-ms", "0")], (504, "DT", "deadline_exceeded")),
    ],
)
async def test_what_the_client_sends(
    path: Path, condition: str | None, headers: list[tuple[str, str]], found: tuple[int, str, str]
) -> None:
    async with badserver() as server, serving(configuration(path, server.url, condition)) as gateway:
        await said(gateway, *headers)
        assert await last(gateway, path) == found
        assert not server.requests


async def _given_up(call: asyncio.Task[Any]) -> None:
    call.cancel()
    await asyncio.wait([call])
