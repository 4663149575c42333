"""The admin site of a real gateway, and starts that fail."""

import json
from pathlib import Path

import aiohttp
import pytest

from gateway.telemetry.names import METRICS
from tests.support.running import Model, Serve, Start, configuration, predict, write

pytestmark = pytest.mark.e2e
Models = tuple[Model, Model]


async def test_every_page(serve: Serve, models: Models) -> None:
    gateway = await serve(configuration(models[0].url))
    assert await predict(gateway.data) == (200, "one")
    async with aiohttp.ClientSession(gateway.admin) as session:
        pages = {}
        for path in ("/", "/livez", "/readyz", "/metrics", "/config", "/clusters", "/clusters?format=json"):
            async with session.get(path) as answer:
                assert answer.status == 200, path
                pages[path] = await answer.text()
    assert pages["/clusters"].count(models[0].url) == 2
    assert models[0].url in pages["/config"]
    assert 'gateway_requests_total{code="200",graph="m",outcome="success"} 1.0' in pages["/metrics"].splitlines()
    found = {line.split()[2] for line in pages["/metrics"].splitlines() if line.startswith("# TYPE gateway_")}
    assert found == METRICS.keys() - {"gateway_bad_requests_total"} - OF_FEATURES


SIGNS = ("batch", "cold_start", "ejec", "payload_log", "trace_")
OF_FEATURES = {name for name in METRICS if any(sign in name for sign in SIGNS)} | {
    "gateway_faults_injected_total",
    "gateway_access_log_dropped_total",
    "gateway_overhead_seconds",
    "gateway_saturation_ratio",
    "gateway_split_total",
    "gateway_step_duration_seconds",
    "gateway_step_requests_in_flight",
    "gateway_step_requests_total",
    "gateway_upstream_dns_failures_total",
    "gateway_upstream_endpoints",
    "gateway_upstream_health_checks_total",
    "gateway_upstream_healthy",
    "gateway_upstream_hedges_total",
    "gateway_upstream_panic_total",
}
"""Metrics that are there once a backend has the feature."""


async def test_the_admin_site_is_not_on_the_data_port(serve: Serve, models: Models) -> None:
    gateway = await serve(configuration(models[0].url))
    async with aiohttp.request("POST", f"{gateway.data}/-/drain") as answer:
        assert "draining" not in await answer.text()
    assert await predict(gateway.data) == (200, "one")


async def test_both_sites_on_unix_sockets(begin: Start, file: Path, tmp_path: Path, models: Models) -> None:
    text = configuration(models[0].url)
    write(file, text)
    data, admin = tmp_path / "data.sock", tmp_path / "admin.sock"
    gateway = await begin("-c", str(file), "--listen", f"unix:{data}", "--admin-listen", f"unix:{admin}")
    await gateway.up()
    for path, page in ((data, "/v1/models"), (admin, "/readyz")):
        connector = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://localhost{page}") as answer,
        ):
            assert answer.status == 200
    await gateway.close()
    assert not data.exists()
    assert not admin.exists()


async def test_a_busy_port_is_a_clear_error(serve: Serve, begin: Start, models: Models, file: Path) -> None:
    gateway = await serve(configuration(models[0].url))
    address = gateway.data.removeprefix("http://")
    second = await begin("-c", str(file), "--listen", address)
    assert await second.ended() == 1
    await second.logs(f"ERROR cannot listen on {address}: address already in use")


async def test_a_file_with_errors_is_exit_code_one(begin: Start, file: Path) -> None:
    write(file, "graphs: {}\nnonsense: 1\n")
    gateway = await begin("-c", str(file))
    assert await gateway.ended() == 1
    await gateway.logs(f"ERROR {file}:2:1: nonsense: ")


async def test_a_certificate_that_is_not_there_is_exit_code_one(begin: Start, file: Path, models: Models) -> None:
    tls = "server: {tls: {certFile: /no/cert.pem, keyFile: /no/key.pem}, "
    write(file, configuration(models[0].url).replace("server: {", tls))
    gateway = await begin("-c", str(file))
    assert await gateway.ended() == 1
    await gateway.logs("ERROR FileNotFoundError")


async def test_the_log_in_json_and_its_level_while_it_runs(
    serve: Serve, begin: Start, file: Path, models: Models
) -> None:
    write(file, configuration(models[0].url))
    gateway = await begin("-c", str(file), "--log-format", "json", "--log-level", "info")
    lines = [await gateway.logs(f'"message":"{site} on ') for site in ("listening", "admin site")]
    data, admin = ("http://" + json.loads(line)["message"].rpartition(" ")[2] for line in lines)
    async with aiohttp.ClientSession(admin) as session:
        for level in ("error", "info"):
            async with session.post(f"/logging?level={level}") as answer:
                assert answer.status == 200
            async with session.get("/clusters") as answer:  # all workers have heard of it
                assert answer.status == 200
            async with aiohttp.request("GET", f"{data}/{level}", headers={"Expect": "tea"}) as answer:
                assert answer.status == 417
    await gateway.logs('"message":"refused a client: 417')
    events = [json.loads(line) for line in gateway.log]
    (refused,) = [event for event in events if event["message"].startswith("refused")]
    assert (refused["level"], refused["worker"] in (0, 1)) == ("INFO", True)
