from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from batching import ALONE_1, ALONE_64, LONE, SIXTEEN, TURNS, Batching, Sample, Turn, medians, setup, together
from openloop import HEAD
from outcome import Bench, Plan
from peers import Gateway, Work
from processes import free_ports

from gateway.config.files import examine

BENCH = Path(__file__).parents[2] / "bench"


def sample(cpu_us: float, p50_ms: float) -> Sample:
    return Sample(100.0, cpu_us, 1.0, p50_ms, 2 * p50_ms, 1)


@pytest.mark.parametrize("turn", TURNS, ids=[turn.label for turn in TURNS])
def test_the_gateway_accepts_its_configuration(turn: Turn, tmp_path: Path) -> None:
    gateway = Gateway(Work(8080, ((9001, 1),), tmp_path, setup(turn)), None)
    config, report = examine([gateway.file("gateway.yaml", yaml.safe_dump(gateway.config()))], {})
    assert report.errors == []
    assert config is not None
    assert (config.backends["b0"].batch is None) == (turn.batch is None)


def test_requests_in_a_call_are_read_from_the_metrics() -> None:
    lines = [
        'gateway_batch_requests_bucket{backend="b0",le="16.0"} 7.0',
        'gateway_batch_requests_sum{backend="b0"} 48.0',
        'gateway_batch_requests_count{backend="b0"} 3.0',
    ]
    assert together("\n".join(lines)) == (48, 3)
    assert together("gateway_connections 1.0") == (0, 0)


def test_what_is_added_is_the_median_of_the_rounds_differences() -> None:
    samples = {turn.label: [sample(20, 10), sample(30, 20), sample(25, 15)] for turn in TURNS}
    samples[SIXTEEN] = [sample(22, 10), sample(40, 10), sample(28, 10)]
    samples[LONE] = [sample(1, 10.1), sample(1, 20.3), sample(1, 15.2)]
    figures = medians(samples)
    assert figures[SIXTEEN]["added_cpu_us"] == 3
    assert figures[LONE]["added_p50_ms"] == pytest.approx(0.2)
    assert (figures[ALONE_1]["p50_ms"], figures[ALONE_1]["errors"]) == (15, 3)


@pytest.fixture
def port() -> Iterator[int]:
    """Of a model that takes 20 ms for a call and 5 ms for a row."""
    (number,) = free_ports(1)
    command = [sys.executable, str(BENCH / "rows.py"), str(number), "--fixed=0.02", "--row=0.005"]
    with subprocess.Popen(command) as model:
        try:
            yield number
        finally:
            model.kill()


def connected(port: int) -> socket.socket:
    for _ in range(500):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise TimeoutError


@pytest.mark.e2e
async def test_the_model_takes_its_time_for_one_call_after_the_other(port: int) -> None:
    body = b'{"instances": [[1], [2]]}'
    request = HEAD.format(path="/", length=len(body)).encode() + body

    def ask() -> bytes:
        with closing(connected(port)) as client:
            client.sendall(request)
            return client.recv(1 << 16)

    await asyncio.to_thread(ask)
    began = time.perf_counter()
    answers = await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(3)))
    assert time.perf_counter() - began >= 3 * 0.03
    assert all(answer.endswith(b'\r\n\r\n{"predictions":[1,1]}') for answer in answers)


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_the_case_runs(tmp_path: Path) -> None:
    said: list[str] = []
    outcome = Batching("batching", "two turns", TURNS[:2]).run(Bench(Plan(1, 1, 0, 0), tmp_path, said.append))
    assert list(outcome.figures) == [ALONE_64, SIXTEEN]
    assert outcome.figures[ALONE_64]["together"] == 1
    assert outcome.figures[SIXTEEN]["together"] > 8
    assert outcome.figures[SIXTEEN]["errors"] == 0
    assert outcome.table().count("\n| ") == len(said) + 2
