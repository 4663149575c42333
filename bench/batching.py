"""What batching brings, and what it costs: a model that takes a while for a call and little for a row, with it or not.

The cost is told of a quick model, which leaves the gateway as the one that is busy: CPU time of a request that shares
its call with fifteen others, less that of one that has a call to itself.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from contest import contestant
from graphs import pass_through
from load import Load, Traffic, drive, open_loop, wait_until_up
from openloop import Result
from outcome import Bench, Figures, Outcome
from peers import Gateway, Peer, Setup
from processes import Process, cores, free_ports

ROW = b'{"instances": [[6.8, 2.8, 4.8, 1.4]]}'

COST = re.compile(r'^gateway_batch_requests_(sum|count)\{backend="b0"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Model:
    """What bench/rows.py takes for a call: seconds, and seconds for each row."""

    fixed: float
    row: float = 0.0


SLOW = Model(0.010, 0.00025)
QUICK = Model(0.0)
"""While it answers sixteen of 64 clients, sixteen others ask: calls are full."""


@dataclass(frozen=True)
class Turn:
    """So many clients, each waiting for its answer; with ``rate``: requests that come whether or not it keeps up."""

    label: str
    model: Model
    connections: int
    batch: Mapping[str, object] | None = None
    rate: float = 0.0


@dataclass(frozen=True)
class Sample:
    """One turn, one round."""

    requests_per_second: float
    cpu_us: float
    """CPU time of the gateway for each request, in microseconds."""
    together: float
    """Requests in a call."""
    p50_ms: float
    p99_ms: float
    errors: int
    """Failures, and what was not answered in time where requests come at a rate."""


ALONE_64, SIXTEEN = "64 clients, quick model, without", "64 clients, quick model, batches of 16"
ALONE_500, TOGETHER_500 = "500/s, without", "500/s"
ALONE_1, LONE = "1 client, without", "1 client"
OFF_8, ADAPTIVE_8 = "8 clients, linger off", "8 clients"

TURNS = (
    Turn(ALONE_64, QUICK, 64),
    Turn(SIXTEEN, QUICK, 64, {"maxBatchSize": 16}),
    Turn(ALONE_500, SLOW, 64, None, 500),
    Turn(TOGETHER_500, SLOW, 64, {}, 500),
    Turn(ALONE_1, SLOW, 1),
    Turn(LONE, SLOW, 1, {}),
    Turn(OFF_8, SLOW, 8, {"linger": "off"}),
    Turn(ADAPTIVE_8, SLOW, 8, {}),
)


@dataclass(frozen=True)
class Batching:
    """Every turn once a round, so that a slow minute of the machine falls on all alike."""

    name: str
    title: str
    turns: tuple[Turn, ...] = TURNS

    def run(self, bench: Bench) -> Outcome:
        samples: dict[str, list[Sample]] = {turn.label: [] for turn in self.turns}
        for number in range(1, bench.plan.rounds + 1):
            for turn in self.turns:
                sample = _sample(turn, bench)
                samples[turn.label].append(sample)
                rate = f"{sample.requests_per_second:>9,.0f} requests/s"
                bench.say(f"{self.name} {number}/{bench.plan.rounds}  {turn.label:<40} {rate}")
        raw = {label: [asdict(sample) for sample in own] for label, own in samples.items()}
        figures = medians(samples)
        return Outcome(self.name, self.title, _rows(figures), figures, raw)


def setup(turn: Turn) -> Setup:
    """The gateway, with its backend's ``batch``."""
    return Setup(pass_through, backend={} if turn.batch is None else {"batch": turn.batch})


def _sample(turn: Turn, bench: Bench) -> Sample:
    plan, traffic = bench.plan, Traffic(turn.connections, sent=ROW)
    with (
        _model(turn.model, bench.directory) as port,
        contestant(Gateway, setup(turn), ((port, 1),), bench.directory) as peer,
    ):
        assert peer.process is not None
        if plan.warm_up:
            drive(peer.url, traffic, plan.warm_up, cores()[1], bench.directory)
        before, batches = peer.process.cpu_seconds(), together(_metrics(bench.directory))
        load = _load(turn, peer, traffic, bench)
        cpu, after = peer.process.cpu_seconds() - before, together(_metrics(bench.directory))
    requests, calls = after[0] - batches[0], after[1] - batches[1]
    return Sample(
        requests_per_second=load.rate if isinstance(load, Result) else load.requests / load.seconds,
        cpu_us=cpu / max(load.answered if isinstance(load, Result) else load.requests, 1) * 1e6,
        together=requests / calls if calls else 1.0,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        errors=load.errors,
    )


def _load(turn: Turn, peer: Peer, traffic: Traffic, bench: Bench) -> Load | Result:
    if not turn.rate:
        return drive(peer.url, traffic, bench.plan.seconds, cores()[1], bench.directory)
    # Without a warm-up of its own: where the answers do not keep up, it would take longer than it says.
    return open_loop(peer.work.port, turn.rate, bench.plan.seconds, bench.directory, warm_up=0)


@contextmanager
def _model(model: Model, directory: Path) -> Iterator[int]:
    """One that is up, on the core of the load; gives its port."""
    (port,) = free_ports(1)
    script = str(Path(__file__).with_name("rows.py"))
    command = [sys.executable, script, str(port), f"--fixed={model.fixed}", f"--row={model.row}"]
    process = Process(command, cores()[1], directory / "rows.log")
    try:
        wait_until_up(f"http://127.0.0.1:{port}", process)
        yield port
    finally:
        process.stop()


def _metrics(directory: Path) -> str:
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(5)
        admin.connect(f"{directory}/admin.sock")
        admin.sendall(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n")
        return b"".join(iter(lambda: admin.recv(1 << 16), b"")).decode()


def together(metrics: str) -> tuple[float, float]:
    """Requests that were in calls, and those calls; nothing where there is no ``batch``."""
    found = {name: float(value) for name, value in COST.findall(metrics)}
    return found.get("sum", 0.0), found.get("count", 0.0)


def medians(samples: Mapping[str, list[Sample]]) -> Figures:
    """And what batching adds, which is the median of the rounds' differences."""
    names = ("requests_per_second", "cpu_us", "together", "p50_ms", "p99_ms")
    figures = {
        label: {name: median(getattr(one, name) for one in own) for name in names} for label, own in samples.items()
    }
    for label, own in samples.items():
        figures[label]["errors"] = float(sum(one.errors for one in own))
    for label, bare, name in ((SIXTEEN, ALONE_64, "cpu_us"), (LONE, ALONE_1, "p50_ms")):
        if label in samples:
            pairs = zip(samples[label], samples[bare], strict=True)
            figures[label][f"added_{name}"] = median(getattr(one, name) - getattr(other, name) for one, other in pairs)
    return figures


def _rows(figures: Figures) -> list[list[str]]:
    heads = ["load", "requests/s", "in a call", "µs CPU", "p50 ms", "p99 ms", "errors"]
    return [
        heads,
        *(
            [
                label,
                f"{own['requests_per_second']:,.0f}",
                f"{own['together']:.1f}",
                f"{own['cpu_us']:.1f}",
                f"{own['p50_ms']:.2f}",
                f"{own['p99_ms']:.2f}",
                f"{own['errors']:.0f}",
            ]
            for label, own in figures.items()
        ),
    ]
