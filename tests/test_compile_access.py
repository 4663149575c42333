"""The access log of whole configurations: who writes what into a request's record."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config.backend import Concurrency, Fault, FaultAbort, FaultDelay, Retry
from gateway.config.schema import AccessLog, Backend, Config, Graph, Limits, Node, Server, Step, Telemetry
from gateway.telemetry.metrics import read
from tests.support.loopback import Running, after, closed_port, serving, status, stub


def configuration(path: Path | None, *backends: Backend, kind: str = "Sequence", **options: Any) -> Config:
    """One graph, ``g``, with a step for each of the backends b0, b1, ..."""
    names = [f"b{number}" for number in range(len(backends))]
    steps = tuple(Step(backend=name, weight=100 if kind == "Splitter" else None) for name in names)
    graph = msgspec.convert({"nodes": {"root": Node(router_type=kind, steps=steps)}, "protocol": "v1"}, Graph)
    return Config(
        backends=dict(zip(names, backends, strict=True)),
        graphs={"g": msgspec.structs.replace(graph, **options)},
        telemetry=Telemetry(access_log=AccessLog(path=str(path)) if path else None),
    )


async def lines(gateway: Running, path: Path) -> list[dict[str, Any]]:
    gateway.write_logs()
    return read_log(path)


def read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def logged(path: Path, config: Config, target: str = "/v1/models/g:predict") -> dict[str, Any]:
    """The line of one request."""
    async with serving(config) as gateway:
        await gateway.post(target, b"{}")
        (line,) = await lines(gateway, path)
        return line


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


async def test_a_good_answer(path: Path) -> None:
    async with stub(after(0.02, b"[1]")) as model:
        line = await logged(path, configuration(path, Backend(url=model.url), kind="Splitter"))
    assert line["route"] == "g"
    assert line["branch"] == "root=b0"
    assert (line["status"], line["flags"], line["details"]) == (200, "-", "")
    assert (line["bytes_in"], line["bytes_out"], line["attempts"]) == (2, 3, 1)
    assert 20 <= line["upstream_ms"] <= line["duration_ms"]
    assert (line["client"], line["protocol"], line["queue_ms"]) == ("127.0.0.1", "HTTP/1.1", 0.0)


async def test_the_calls_of_an_ensemble_overlap(path: Path) -> None:
    async with stub(after(0.05)) as model:
        line = await logged(path, configuration(path, *[Backend(url=model.url)] * 3, kind="Ensemble"))
    assert line["attempts"] == 3
    assert line["upstream_ms"] <= line["duration_ms"]


async def test_no_connection_and_no_more_attempts(path: Path) -> None:
    line = await logged(path, configuration(path, Backend(url=closed_port(), retry=Retry(attempts=3))))
    assert (line["status"], line["flags"]) == (503, "UF,URX")
    assert (line["details"], line["attempts"]) == ("upstream_connect_failure", 3)


async def test_kserve_errors_keep_their_cause(path: Path) -> None:
    line = await logged(path, configuration(path, Backend(url=closed_port()), compat="kserve"))
    assert (line["status"], line["flags"], line["details"]) == (500, "UF", "upstream_connect_failure")


async def test_a_model_servers_own_error_has_no_code(path: Path) -> None:
    async with stub(status(500, b"{}")) as model:
        line = await logged(path, configuration(path, Backend(url=model.url)))
    assert (line["status"], line["flags"], line["details"]) == (500, "-", "")


async def test_faults_on_purpose(path: Path) -> None:
    fault = Fault(delay=FaultDelay(duration=0.01, percentage=100), abort=FaultAbort(status=500, percentage=100))
    line = await logged(path, configuration(path, Backend(url=closed_port(), fault=fault)))
    assert (line["status"], line["flags"]) == (500, "DI,FI")


async def test_what_no_graph_answers(path: Path) -> None:
    async with stub() as model:
        one = configuration(path, Backend(url=model.url))
        config = msgspec.structs.replace(one, graphs={**one.graphs, "h": one.graphs["g"]})
        line = await logged(path, config, "/nothing?token=secret")
    assert (line["path"], line["route"], line["status"]) == ("/nothing", "", 404)
    assert (line["flags"], line["details"], line["attempts"]) == ("NR", "not_found", 0)


async def test_the_time_in_the_queue(path: Path) -> None:
    async with stub(after(0.05)) as model:
        config = configuration(path, Backend(url=model.url, concurrency=Concurrency(limit=1, queue=1)))
        async with serving(config) as gateway:
            await asyncio.wait([asyncio.create_task(gateway.post("/v1/models/g:predict")) for _ in range(3)])
            found = sorted(await lines(gateway, path), key=lambda line: float(line["duration_ms"]))
    assert [line["flags"] for line in found] == ["UO", "-", "-"]
    assert found[1]["queue_ms"] == 0.0
    assert 30.0 < found[2]["queue_ms"] <= found[2]["upstream_ms"]


async def test_a_client_that_does_not_wait(path: Path) -> None:
    async with stub(after(60.0)) as model, serving(configuration(path, Backend(url=model.url))) as gateway:
        call = asyncio.create_task(gateway.post("/v1/models/g:predict"))
        await model.arrived.acquire()
        call.cancel()
        await asyncio.wait([call])
        await model.cancelled.wait()
        (line,) = await lines(gateway, path)
    assert (line["status"], line["flags"], line["bytes_out"]) == (499, "DC", 0)


async def test_http_1_0_is_told_apart(path: Path) -> None:
    async with stub() as model, serving(configuration(path, Backend(url=model.url))) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.number)
        writer.write(b"GET /v1/models HTTP/1.0\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        (line,) = await lines(gateway, path)
    assert (line["method"], line["path"], line["protocol"]) == ("GET", "/v1/models", "HTTP/1.0")


@pytest.mark.parametrize(
    ("telemetry", "overhead"),
    [
        (Telemetry(), False),
        (Telemetry(access_log=AccessLog(enabled=False)), False),
        (Telemetry(overhead_metrics=True), True),
    ],
)
async def test_without_a_log_there_are_no_records(telemetry: Telemetry, overhead: bool) -> None:
    async with stub() as model:
        config = configuration(None, Backend(url=model.url))
        async with serving(msgspec.structs.replace(config, telemetry=telemetry)) as gateway:
            assert (await gateway.post("/v1/models/g:predict")).status == 200
            names = {series.name for series, _ in read(gateway.registry.segment)}
            assert "gateway_access_log_dropped_total" not in names
            assert ("gateway_overhead_seconds" in names) == overhead


async def test_no_place_in_flight(path: Path) -> None:
    async with stub(after(60.0)) as model:
        config = configuration(path, Backend(url=model.url))
        config = msgspec.structs.replace(config, server=Server(limits=Limits(max_in_flight=1)))
        async with serving(config) as gateway:
            call = asyncio.create_task(gateway.post("/v1/models/g:predict"))
            await model.arrived.acquire()
            assert (await gateway.post("/v1/models/g:predict")).status == 503
            (line,) = await lines(gateway, path)
            call.cancel()
            await asyncio.wait([call])
    assert (line["flags"], line["route"], line["details"]) == ("OM", "g", "overload")


# Metrics of steps, and of bytes.


def numbers(gateway: Running, name: str) -> dict[tuple[str, ...], float]:
    found = ((series, cells) for series, cells in read(gateway.registry.segment) if series.name == name)
    return {series.labels: sum(cells[:-1]) if series.kind == "histogram" else cells[0] for series, cells in found}


@pytest.mark.parametrize("compat", ["none", "kserve"])
async def test_what_a_splitter_chose_is_counted(compat: str) -> None:
    async with stub() as model:
        config = configuration(None, Backend(url=model.url), kind="Splitter", compat=compat)
        async with serving(config) as gateway:
            assert numbers(gateway, "gateway_split_total") == {("g", "root", "b0"): 0.0}
            await gateway.post("/v1/models/g:predict")
            assert numbers(gateway, "gateway_split_total") == {("g", "root", "b0"): 1.0}
            assert numbers(gateway, "gateway_step_duration_seconds") == {}


async def test_metrics_of_steps_if_asked_for() -> None:
    async with stub(status(404, b"{}")) as model:
        config = configuration(None, Backend(url=model.url), Backend(url=closed_port()))
        config = msgspec.structs.replace(config, telemetry=Telemetry(step_metrics=True))
        async with serving(config) as gateway:
            await gateway.post("/v1/models/g:predict")
            one, other = ("g", "root", "b0"), ("g", "root", "b1")
            found = {labels: n for labels, n in numbers(gateway, "gateway_step_requests_total").items() if n}
            assert found == {(*one, "404"): 1.0, (*other, "upstream_connect_failure"): 1.0}
            assert numbers(gateway, "gateway_step_duration_seconds") == {one: 1.0, other: 1.0}
            assert numbers(gateway, "gateway_step_requests_in_flight") == {one: 0.0, other: 0.0}
            assert numbers(gateway, "gateway_split_total") == {}


async def test_bytes_of_both_directions_are_counted() -> None:
    async with stub() as model, serving(configuration(None, Backend(url=model.url))) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.number)
        sent = b"HEAD /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        writer.write(sent)
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert numbers(gateway, "gateway_received_bytes_total") == {(): len(sent)}
        assert numbers(gateway, "gateway_sent_bytes_total") == {(): len(received)}


async def model_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers in two pieces, the second a moment later."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
    await asyncio.sleep(0.03)
    writer.write(b"data: 2\n\n")
    writer.close()
    await writer.wait_closed()


async def test_an_answer_that_streams_is_noted_and_counted_whole(path: Path, tmp_path: Path) -> None:
    model = await asyncio.start_unix_server(model_server, tmp_path / "model")
    async with model, serving(configuration(path, Backend(url=f"unix:{tmp_path / 'model'}"))) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.number)
        writer.write(b"GET /any HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert received.endswith(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        assert numbers(gateway, "gateway_sent_bytes_total") == {(): len(received)}
        (line,) = await lines(gateway, path)
    assert (line["status"], line["bytes_out"], line["flags"]) == (200, 18, "-")
    assert 30 <= line["upstream_ms"] <= line["duration_ms"]
