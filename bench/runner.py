"""Interleaved rounds: every peer once a round, so that a slow minute of the machine is slow for all of them.

Whatever is started here is ended here.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cases import Case
from load import drive, shares, wait_until_up
from peers import Peer, Work, stub_command
from processes import Process, cores


@dataclass(frozen=True)
class Sample:
    """One peer, one round."""

    requests_per_second: float
    cpu_us: float
    """CPU time of the peer for each request, in microseconds."""
    core: float
    """The part of its core that the peer got; well below 1, something else was in the way of its throughput."""
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class Plan:
    """How long to measure: ``rounds`` of ``seconds`` for each peer, each after ``warm_up`` seconds."""

    rounds: int
    seconds: float
    warm_up: float


Samples = dict[str, list[Sample]]


def measure(case: Case, peers: list[type[Peer]], plan: Plan, directory: Path, say: Callable[[str], None]) -> Samples:
    """The samples of each peer, in the order of the rounds."""
    samples: Samples = {peer.name: [] for peer in peers}
    with _backends(case, directory) as ports:
        for number in range(1, plan.rounds + 1):
            for peer in peers:
                sample = _sample(peer, case, ports, plan, directory)
                say(f"round {number}/{plan.rounds}  {peer.name:<14} {sample.requests_per_second:>8,.0f} requests/s")
                samples[peer.name].append(sample)
    return samples


@contextmanager
def _backends(case: Case, directory: Path) -> Iterator[list[int]]:
    ports = _free_ports(len(case.weights))
    stub = Process(stub_command(ports, directory), cores()[1], directory / "stub.log")
    try:
        for port in ports:
            _until_up(stub, f"http://127.0.0.1:{port}", case)
        yield ports
    finally:
        stub.stop()


def _sample(kind: type[Peer], case: Case, ports: list[int], plan: Plan, directory: Path) -> Sample:
    its_core, load_core = cores()
    work = Work(_free_ports(1)[0], tuple(zip(ports, case.weights, strict=True)), directory)
    peer = kind(work, its_core)
    peer.start()
    try:
        assert peer.process is not None
        _until_up(peer.process, peer.url, case)
        _check_shares(peer, case)
        drive(peer.url, case, plan.warm_up, load_core, directory)
        before = peer.process.cpu_seconds()
        load = drive(peer.url, case, plan.seconds, load_core, directory)
        cpu = peer.process.cpu_seconds() - before
    finally:
        peer.stop()
    rate = load.requests / load.seconds
    return Sample(rate, cpu / load.requests * 1e6, cpu / load.seconds, load.p50_ms, load.p99_ms, load.errors)


def _until_up(process: Process, url: str, case: Case) -> None:
    try:
        wait_until_up(url, case)
    except TimeoutError as error:
        sys.exit("\n".join([f"{error}; the last it said:", *process.log.read_text().splitlines()[-5:]]))


def _check_shares(peer: Peer, case: Case) -> None:
    """A peer that does not split does less work: refuse to measure it."""
    asked = 300
    found = shares(peer.url, case, asked)
    for port, weight in peer.work.backends:
        wanted = weight / sum(case.weights)
        # Five standard deviations of the draw at the most, so that chance alone never fails a run.
        if abs(found.get(str(port), 0.0) - wanted) > 5 * (wanted * (1 - wanted) / asked) ** 0.5:
            sys.exit(f"{peer.name} does not split {case.weights}: {found}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(sock.getsockname()[1]) for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports
