"""Where the payload log stands, and what of it outlives a reload."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.compile import compile_app
from gateway.config.payload import PayloadLog, PayloadSinks, Sink, Spool
from gateway.config.schema import Backend, Config, Graph, Node, Step
from gateway.leases import Lease, Leases
from gateway.payload.event import Event, decode
from gateway.payload.tail import Tail
from gateway.telemetry.metrics import Registry
from tests.support.loopback import closed_port, serving, stub


def config(url: str, spool: Path, log: PayloadLog | None, step: PayloadLog | None = None, **graph: Any) -> Config:
    root = Node(router_type="Sequence", steps=(Step(name="classify", backend="b", payload_log=step),))
    sinks = {name: Sink(type="stdout", spool=Spool(path=str(spool))) for name in ("s", "t")}
    return Config(
        backends={"b": Backend(url=url)},
        graphs={"g": Graph(nodes={"root": root}, payload_log=log, **graph)},
        payload_log=PayloadSinks(sinks=sinks),
    )


async def spooled(directory: Path, count: int) -> list[Event]:
    """The events of a sink, once there are as many."""
    tail = Tail(directory / "0")
    async with asyncio.timeout(30):
        while len(records := tail.read(100, 1 << 20)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return [decode(record.data) for record in records]


async def call(config: Config) -> int:
    async with serving(config) as gateway:
        return (await gateway.call("POST", "/v1/models/g:predict", b"{}", [("x-request-id", "id-1")])).status


async def test_the_edge_and_a_step_are_logged_apart(tmp_path: Path) -> None:
    async with stub(b"[1]") as model:
        assert await call(config(model.url, tmp_path, PayloadLog(sink="s"), PayloadLog(sink="t"))) == 200
    for sink, node, step in (("s", "", ""), ("t", "root", "classify")):
        request, response = await spooled(tmp_path / sink, 2)
        assert (request.kind, request.body, request.place.graph, request.request_id) == ("request", b"{}", "g", b"id-1")
        assert (response.kind, response.body, response.status) == ("response", b"[1]", 200)
        assert request.place == response.place
        assert (request.place.node, request.place.step) == (node, step)


async def test_a_failure_is_logged_as_the_client_sees_it(tmp_path: Path) -> None:
    log = PayloadLog(sink="s", mode="response")
    assert await call(config(closed_port(), tmp_path, log)) == 503
    (error,) = await spooled(tmp_path / "s", 1)
    assert (error.kind, error.status) == ("error", 503)
    assert b'"step":"classify"' in error.body


async def test_in_kserves_graphs_a_failure_is_an_answer(tmp_path: Path) -> None:
    async with stub(lambda _: web.Response(status=500, body=b"{}")) as model:
        log = PayloadLog(sink="s", mode="response")
        status = await call(config(model.url, tmp_path, log, compat="kserve"))
    (response,) = await spooled(tmp_path / "s", 1)
    assert (response.kind, response.status) == ("response", status)


async def test_without_a_log_nothing_is_spooled(tmp_path: Path) -> None:
    async with stub(b"[1]") as model:
        assert await call(config(model.url, tmp_path, None)) == 200
    assert os.listdir(tmp_path) == []


async def test_a_reload_goes_on_with_the_queues_that_there_are(tmp_path: Path) -> None:
    leases, registry = Leases(), Registry.private()
    one = Lease(leases, registry, 1 << 20)
    queue = one.queue("s", Spool(path=str(tmp_path)))
    one.begin()
    two = Lease(leases, registry, 1 << 20)
    assert two.queue("s", Spool(path=str(tmp_path), fsync="never", max_bytes=1 << 20)) is queue
    assert queue._fsync == 1.0
    two.begin()
    assert queue._fsync == "never"
    assert two.queue("t", Spool(path=str(tmp_path))) is not queue
    one.release()
    assert not queue._thread._shutdown
    two.release()
    assert queue._thread._shutdown
    await leases.close()


async def test_a_spool_that_cannot_be_written_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("no directory")
    with pytest.raises(OSError):
        compile_app(config("http://127.0.0.1:1", tmp_path, PayloadLog(sink="s")), Leases(), Registry.private())
