"""What clients see while model servers die, hang and slow down: an open loop against four endpoints, one at a time in
trouble for 10 s, with 5 s of peace between.

Usage: soak.py [--minutes 10] [--rate 500 | --share 0.5] [--bare | --no-retries]
Prints a table and, as the last line, the same as JSON. `--bare`: one endpoint, and nothing done about its failures.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import yaml
from graphs import pass_through
from load import PATH, Traffic, body, drive, wait_until_up
from openloop import HEAD, Connection, OpenLoop, quantile
from outcome import Outcome
from processes import Process, cores, free_ports
from trouble import PEACE, TROUBLES, Phase, afflicted, endpoints, phases

LOST = "lost"
"""The gateway closed the connection in place of an answer."""

NEVER = "never"
"""No answer, or not even sent, when the soak was over."""


CAPACITY_SECONDS = 5.0
"""For how long a closed loop measures what the gateway and its endpoints can do, where the rate is a share of that."""


class Call(NamedTuple):
    """One request; ``due`` and ``seconds`` are since the beginning and since it was due."""

    due: float
    seconds: float
    outcome: str
    """The status, LOST or NEVER."""

    @property
    def ok(self) -> bool:
        return self.outcome.startswith("2")


class Soak(OpenLoop):
    """An open loop that keeps every call, with what became of it."""

    def __init__(self, port: int, request: bytes, rate: float, connections: int) -> None:
        self.calls: list[Call] = []
        super().__init__(port, request, rate, connections)

    def run(self, seconds: float) -> None:
        super().run(seconds)
        for connection in self.connections.values():
            if connection.due:
                self._ended(connection, NEVER)
        self.calls += [Call(number / self.rate, 0.0, NEVER) for number in range(self.sent, int(self.rate * seconds))]

    def _answered(self, connection: Connection, status: int) -> None:
        self._ended(connection, str(status))
        super()._answered(connection, status)

    def _lost(self, connection: Connection) -> None:
        if connection.due:
            self._ended(connection, LOST)
        super()._lost(connection)

    def _ended(self, connection: Connection, outcome: str) -> None:
        self.calls.append(Call(connection.due - self.begun, time.perf_counter() - connection.due, outcome))


@dataclass(frozen=True)
class Seen:
    """What clients saw. Latencies in ms are those of successes: a failure that comes fast is no good answer."""

    requests: int
    success_percent: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failures: dict[str, int]
    """By status, or LOST or NEVER."""


def seen(calls: Sequence[Call]) -> Seen:
    ordered = sorted(call.seconds * 1e3 for call in calls if call.ok)
    failures = Counter(call.outcome for call in calls if not call.ok)
    return Seen(
        requests=len(calls),
        success_percent=100 * len(ordered) / len(calls) if calls else 0.0,
        p50_ms=quantile(ordered, 0.5),
        p99_ms=quantile(ordered, 0.99),
        max_ms=ordered[-1] if ordered else 0.0,
        failures=dict(sorted(failures.items())),
    )


def during(calls: Sequence[Call], plan: Sequence[Phase]) -> list[Call]:
    """Those that were due in one of the phases."""
    return [call for call in calls if any(phase.begin <= call.due < phase.end for phase in plan)]


def by_kind(calls: Sequence[Call], plan: Sequence[Phase]) -> dict[str, Seen]:
    """All of it, and the phases of each kind together."""
    kinds = {what: [phase for phase in plan if phase.what == what] for what in (PEACE, *TROUBLES)}
    return {"all": seen(calls)} | {what: seen(during(calls, own)) for what, own in kinds.items() if own}


def configuration(port: int, ports: Sequence[int], directory: Path, retries: bool = True) -> dict[str, object]:
    """The gateway's file: one endpoint as it is; several with all that is done against their failures.

    Without ``retries`` a call is made once: what fails, a client sees.
    """
    urls = [f"http://127.0.0.1:{number}" for number in ports]
    backend: dict[str, object] = {"model": "iris", "timeouts": {"connect": "1s", "request": "2s"}}
    if len(urls) == 1:
        backend |= {"url": urls[0]}
    else:
        backend |= {
            "endpoints": urls,
            "retry": {
                "attempts": 3 if retries else 1,
                "retryOn": ["connect-failure", "reset", "gateway-error", "timeout"],
                "perTryTimeout": "500ms",
            },
            "outlierDetection": {"consecutiveLocalOriginFailures": 3, "baseEjectionTime": "2s"},
            "healthCheck": {"path": "/healthz", "interval": "1s", "timeout": "500ms", "unhealthyThreshold": 2},
        }
    return {
        "server": {"listen": f"127.0.0.1:{port}", "workers": 1, "drain": {"delay": "0s", "timeout": "1s"}},
        "admin": {"listen": f"unix:{directory}/admin.sock"},
        "backends": {"b0": backend},
        "graphs": {"iris": {"nodes": pass_through([1])}},
    }


@contextmanager
def gateway(ports: Sequence[int], directory: Path, retries: bool) -> Iterator[int]:
    """The gateway in front of ``ports``, up; gives its own."""
    (port,) = free_ports(1)
    file = directory / "gateway.yaml"
    file.write_text(yaml.safe_dump(configuration(port, ports, directory, retries)))
    command = [sys.executable, "-m", "gateway", "run", "-c", str(file)]
    process = Process(command, cores()[0], directory / "gateway.log")
    try:
        wait_until_up(f"http://127.0.0.1:{port}", process)
        yield port
    finally:
        process.stop()


def soak(
    plan: Sequence[Phase],
    count: int,
    rate: float,
    directory: Path,
    connections: int = 256,
    *,
    retries: bool = True,
    share: float = 0.0,
) -> list[Call]:
    """Every call of ``rate`` a second against ``count`` endpoints, which fare as planned.

    ``share``: of the capacity, measured first, in place of the rate.
    """
    payload = body(100)
    request = HEAD.format(path=PATH, length=len(payload)).encode() + payload
    ports = free_ports(count)
    with endpoints(ports, directory) as behind, gateway(ports, directory, retries) as port:
        if share:
            rate = share * capacity(port, directory)
        load = Soak(port, request, rate, connections)
        try:
            with afflicted(plan, behind), uncollected():
                load.run(plan[-1].end)
        finally:
            load.close()
        return load.calls


def capacity(port: int, directory: Path) -> float:
    """Requests a second of a closed loop of 64 connections, while nothing is in trouble."""
    load = drive(f"http://127.0.0.1:{port}", Traffic(), CAPACITY_SECONDS, cores()[1], directory)
    return load.requests / load.seconds


@contextmanager
def uncollected() -> Iterator[None]:
    """Millions of calls are kept: the collector would stop the load for seconds to look at them."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def table(kinds: dict[str, Seen]) -> str:
    heads = ["phases", "requests", "success %", "p50 ms", "p99 ms", "max ms", "failures"]
    return Outcome("soak", "model servers in trouble", [heads, *(_row(*kind) for kind in kinds.items())], {}).table()


def _row(name: str, found: Seen) -> list[str]:
    failures = ", ".join(f"{outcome}: {number:,}" for outcome, number in found.failures.items())
    times = (f"{value:.2f}" for value in (found.p50_ms, found.p99_ms, found.max_ms))
    return [name, f"{found.requests:,}", f"{found.success_percent:.3f}", *times, failures]


def as_json(calls: Sequence[Call], plan: Sequence[Phase]) -> str:
    each = [asdict(phase) | asdict(seen(during(calls, [phase]))) for phase in plan]
    return json.dumps({"kinds": {kind: asdict(found) for kind, found in by_kind(calls, plan).items()}, "phases": each})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--share", type=float, default=0.0, help="of the capacity, measured first, in place of --rate")
    parser.add_argument("--bare", action="store_true", help="one endpoint, nothing done about failures")
    parser.add_argument("--no-retries", action="store_true", help="four endpoints, each request called once")
    options = parser.parse_args()
    count = 1 if options.bare else 4
    plan = phases(60 * options.minutes, count)
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        retries = not options.no_retries
        calls = soak(plan, count, options.rate, Path(directory), retries=retries, share=options.share)
    print(table(by_kind(calls, plan)))
    print(as_json(calls, plan))


if __name__ == "__main__":
    main()
