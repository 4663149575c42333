"""The access log of a real gateway: lines of all workers, rotation, and the last ones."""

import asyncio
import json
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.support.running import Model, Serve, Start, configuration, predict, write

pytestmark = pytest.mark.e2e


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_lines_rotation_and_the_end(serve: Serve, models: tuple[Model, Model], tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    gateway = await serve(configuration(models[0].url) + f"telemetry: {{accessLog: {{path: {path}}}}}\n")
    for _ in range(20):
        assert await predict(gateway.data) == (200, "one")
    path.rename(old)
    gateway.signal(signal.SIGUSR1)
    while not path.exists():
        async with aiohttp.request("GET", f"{gateway.admin}/clusters"):
            pass  # every worker has answered, and so has obeyed what came before
    assert await predict(gateway.data) == (200, "one")
    assert await gateway.metric("gateway_access_log_dropped_total") == 0
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    found = entries(old) + entries(path)
    assert [line["status"] for line in found] == [200] * 21
    assert {line["route"] for line in found} == {"m"}
    assert len({str(line["request_id"]) for line in found}) == 21
    assert entries(path)


async def test_who_is_refused_has_a_line_too(serve: Serve, models: tuple[Model, Model], tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    gateway = await serve(configuration(models[0].url) + f"telemetry: {{accessLog: {{path: {path}}}}}\n")
    host, port = str(gateway.data).removeprefix("http://").split(":")
    for wire in (b"NOT HTTP\r\n\r\n", b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(wire)
        assert (await reader.readline()).startswith(b"HTTP/1.1 4")
        writer.close()
        await writer.wait_closed()
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    fields = ("method", "path", "status", "flags", "details", "client", "attempts")
    found = sorted([line[field] for field in fields] for line in entries(path))
    assert found == [
        ["-", "-", 400, "DPE", "bad_request", "127.0.0.1", 0],
        ["POST", "/a", 413, "-", "payload_too_large", "127.0.0.1", 0],
    ]


async def test_a_log_that_cannot_be_opened_is_an_error(
    begin: Start, serve: Serve, models: tuple[Model, Model], file: Path, tmp_path: Path
) -> None:
    def text(path: Path) -> str:
        return configuration(models[0].url) + f"telemetry: {{accessLog: {{path: {path}}}}}\n"

    write(file, text(tmp_path / "none" / "log"))
    refused = await begin("-c", str(file))
    await refused.logs(f"ERROR cannot open the access log {tmp_path}/none/log: No such file or directory")
    assert await refused.ended() == 1
    gateway = await serve(text(tmp_path / "log"))
    write(file, text(tmp_path / "none" / "log"))
    gateway.signal(signal.SIGHUP)
    await gateway.logs("reload failed")
    await gateway.logs("ERROR cannot open the access log")
    write(file, text(tmp_path / "other"))
    await gateway.reload()
    assert await predict(gateway.data) == (200, "one")
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    assert [line["status"] for line in entries(tmp_path / "other")] == [200]
