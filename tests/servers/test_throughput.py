"""What batching is for: more answers from the same model server, which works on one request at a time."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
from sklearn.datasets import load_digits

from tests.support.loopback import Port
from tests.support.running import RunningGateway, start

from .asked import Asked
from .compared import batching, same

pytestmark = pytest.mark.servers

CONNECTIONS, SECONDS, ROUNDS = 64, 5, 3

SCRIPT = """\
local requests, last = {}, 0
function init(args)
  for line in io.lines(args[2]) do
    requests[#requests + 1] = wrk.format("POST", args[1], {["Content-Type"] = "application/json"}, line)
  end
end
function request()
  last = last % #requests + 1
  return requests[last]
end
function done(summary, latency)
  local e, rate = summary.errors, summary.requests / summary.duration * 1e6
  io.write(string.format('{"rate": %f, "failed": %d, "p50": %f, "p99": %f}\\n', rate,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


class Load(NamedTuple):
    """What 64 clients got: answers a second, answers that were none, and milliseconds."""

    rate: float
    failed: int
    p50: float
    p99: float


def v1(row: list[float]) -> str:
    return json.dumps({"instances": [row]})


def v2(row: list[float]) -> str:
    tensor = {"name": "pixels", "datatype": "FP64", "shape": [1, 64], "data": row}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": "predict_proba"}]})


VERBS = {"v1": ("/v1/models/{}:predict", v1), "v2": ("/v2/models/{}/infer", v2)}

CONFIGURATION = """
server: {{listen: "127.0.0.1:0", workers: 1}}
admin: {{listen: "127.0.0.1:0"}}
backends:
  alone: {{url: "http://127.0.0.1:{port}", protocol: {protocol}, model: {model}}}
  batched: {{url: "http://127.0.0.1:{port}", protocol: {protocol}, model: {model}, batch: {{}}}}
graphs:
  alone: {{nodes: {{root: {{routerType: Sequence, steps: [{{backend: alone, dependency: Hard}}]}}}}}}
  batched: {{nodes: {{root: {{routerType: Sequence, steps: [{{backend: batched, dependency: Hard}}]}}}}}}
"""


async def load(url: str, directory: Path) -> Load:
    """wrk on ``url``, each of its requests another row."""
    origin, _, path = url.partition("/v")
    command = ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "30s", "-s", str(directory / "wrk.lua"))
    arguments = (origin, "--", f"/v{path}", str(directory / "bodies"))
    process = await asyncio.create_subprocess_exec(*command, *arguments, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    return Load(**json.loads(out.splitlines()[-1]))


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
@pytest.mark.parametrize(
    ("server", "protocol", "model"),
    [("mlserver", "v2", "forest"), ("kserve", "v1", "forest"), ("kserve", "v1", "rows")],
    indirect=["server"],
)
async def test_batching_at_least_doubles_the_answers(
    server: Port, protocol: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, body = VERBS[protocol]
    asked = [Asked(path.format(model), body(row).encode()) for row in load_digits().data[:256].tolist()]
    async with batching(server, **{model: protocol}) as gateway:
        await same(server, gateway, asked)  # it is no use to be fast with other answers
    (tmp_path / "bodies").write_bytes(b"\n".join(one.body for one in asked))
    (tmp_path / "wrk.lua").write_text(SCRIPT)
    (tmp_path / "gateway.yaml").write_text(CONFIGURATION.format(port=server.number, protocol=protocol, model=model))
    found, size = await _measured(server, path, asked[0], tmp_path)
    with capsys.disabled():
        print(f"\n{model}, {protocol}\n{_table(found)}\n{size:.1f} rows in a call")
    assert not any(one.failed for own in found.values() for one in own)
    assert _rate(found["batched"]) >= 2 * _rate(found["alone"])


async def _measured(server: Port, path: str, last: Asked, directory: Path) -> tuple[dict[str, list[Load]], float]:
    """The loads of each way to the model, and how many rows a call had where it was batched."""
    gateway = await start("-c", str(directory / "gateway.yaml"))
    try:
        await gateway.up()
        urls = {"direct": f"http://127.0.0.1:{server.number}{last.target}"}
        urls |= {name: gateway.data + path.format(name) for name in ("alone", "batched")}
        return await _rounds(server, urls, last, directory), await _size(gateway)
    finally:
        await gateway.close()


async def _rounds(server: Port, urls: dict[str, str], last: Asked, directory: Path) -> dict[str, list[Load]]:
    """Each has its turn in every round, so that a slow minute of the machine falls on all."""
    found: dict[str, list[Load]] = {name: [] for name in urls}
    for _ in range(ROUNDS):
        for name, url in urls.items():
            found[name].append(await load(url, directory))
            # The server still works on what wrk has asked and did not wait for; this comes after it.
            await server.post(last.target, last.body, *last.headers)
    return found


async def _size(gateway: RunningGateway) -> float:
    rows, calls = [await gateway.metric(f"gateway_batch_size_{part}") for part in ("sum", "count")]
    return rows / calls


def _rate(samples: list[Load]) -> float:
    return median(one.rate for one in samples)


def _table(found: dict[str, list[Load]]) -> str:
    row: Callable[..., str] = "{:<10}{:>12}{:>10}{:>10}".format
    lines = [row("", "answers/s", "p50 ms", "p99 ms")]
    for name, own in found.items():
        p50, p99 = median(one.p50 for one in own), median(one.p99 for one in own)
        lines.append(row(name, f"{_rate(own):.0f}", f"{p50:.0f}", f"{p99:.0f}"))
    return "\n".join(lines)
