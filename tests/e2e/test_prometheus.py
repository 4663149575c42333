"""A real Prometheus scrapes a real gateway, and answers everything that the dashboard and the rules ask."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp.test_utils import unused_port

from tests.support.collector import collector
from tests.support.queries import RULES, queries
from tests.support.running import PATIENCE, Model, Serve, configuration, predict

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(which("prometheus") is None, reason="Prometheus is not installed"),
]

EVERYTHING = """
server: {{listen: "127.0.0.1:0", workers: 2, drain: {{delay: 0s, timeout: 30s}}, limits: {{maxInFlight: 100}}}}
admin: {{listen: "127.0.0.1:0"}}
telemetry: {{stepMetrics: true, overheadMetrics: true, accessLog: {{path: {log}}}}}
backends:
  m:
    endpoints: ["{one}", "{other}"]
    healthCheck: {{path: /v1/models/m, interval: 1s}}
    outlierDetection: {{}}
    retry: {{attempts: 2, retryOn: [connect-failure, 5xx]}}
    hedge: {{after: 1s}}
    concurrency: {{limit: 10, queue: 10}}
    batch: {{}}
graphs:
  m: {{nodes: {{root: {{routerType: Splitter, steps: [{{backend: m, weight: 1}}]}}}}}}
"""


class Prometheus:
    """A Prometheus that scrapes one target ten times a second."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def ask(self, query: str) -> list[dict[str, object]]:
        """The samples. Raises AssertionError with Prometheus' error if it has one."""
        async with aiohttp.request("GET", f"{self._url}/api/v1/query", params={"query": query}) as answer:
            found = await answer.json()
        assert found["status"] == "success", (query, found)
        samples: list[dict[str, object]] = found["data"]["result"]
        return samples

    async def has(self, query: str) -> None:
        """Wait until there are samples."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    if await self.ask(query):
                        return
                except aiohttp.ClientError:
                    pass  # it is still starting
                await asyncio.sleep(0.1)

    async def exemplars(self, query: str) -> list[dict[str, Any]]:
        """Those of the first series that has any, as soon as one has."""
        url, now = f"{self._url}/api/v1/query_exemplars", time.time()
        asked = {"query": query, "start": str(now - 3600), "end": str(now + 3600)}
        async with asyncio.timeout(PATIENCE):
            while True:
                async with aiohttp.request("GET", url, params=asked) as answer:
                    found = (await answer.json())["data"]
                if found:
                    first: list[dict[str, Any]] = found[0]["exemplars"]
                    return first
                await asyncio.sleep(0.1)


@asynccontextmanager
async def prometheus(admin: str, directory: Path) -> AsyncIterator[Prometheus]:
    target = {"job_name": "gateway", "static_configs": [{"targets": [admin.removeprefix("http://")]}]}
    timing = {"scrape_interval": "100ms", "scrape_timeout": "100ms", "evaluation_interval": "1s"}
    file = directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump({"global": timing, "rule_files": [str(RULES)], "scrape_configs": [target]}))
    address = f"127.0.0.1:{unused_port()}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=error",
        "--enable-feature=exemplar-storage",
    )
    try:
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        await process.wait()


async def test_every_query_is_answered(serve: Serve, models: tuple[Model, Model], tmp_path: Path) -> None:
    one, other = models
    gateway = await serve(EVERYTHING.format(log=tmp_path / "access.log", one=one.url, other=other.url))
    async with prometheus(gateway.admin, tmp_path) as asked:
        await asked.has("gateway_workers == 2")
        for _ in range(20):
            assert (await predict(gateway.data))[0] == 200
        await asked.has("sum(increase(gateway_requests_total[1m])) > 1")
        empty = {query for query in queries() if not await asked.ask(query)}
        errors = ("code=~", "code!~", "gateway_bad_requests", "ratio_rate", "absent", " > ", " == 0")
        assert not [query for query in empty if not any(sign in query for sign in errors)]
        assert await asked.ask('ALERTS{alertstate="firing"}') == []
        assert await asked.ask('scrape_duration_seconds{job="gateway"} < 1')


async def test_an_exemplar_leads_from_a_bucket_to_its_trace(
    serve: Serve, models: tuple[Model, Model], tmp_path: Path
) -> None:
    async with collector() as traces:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        gateway = await serve(configuration(models[0].url), **environ)
        async with prometheus(gateway.admin, tmp_path) as asked:
            await asked.has("gateway_workers == 2")
            assert (await predict(gateway.data))[0] == 200
            (found,) = await asked.exemplars('gateway_request_duration_seconds_bucket{graph="m"}')
        (server,) = [span for span in await traces.has(3) if span.kind == "server"]
    assert found["labels"] == {"trace_id": server.trace_id, "span_id": server.id}
    assert float(found["value"]) == (server.end - server.start) / 1e9
    assert abs(found["timestamp"] - server.end / 1e9) < 0.01
