"""Starting backends and contestants on their cores, and ending them: what is started here is ended here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from load import Traffic, shares, wait_until_up
from peers import Peer, Setup, Work, stub_command
from processes import Process, cores, free_ports

HERE = Path(__file__).parent

Backends = Sequence[tuple[int, int]]
"""Port and weight of each."""


@contextmanager
def backends(
    weights: Sequence[int], traffic: Traffic, directory: Path, flags: Sequence[str] = ()
) -> Iterator[Backends]:
    """One backend for each weight, on the core of the load; ``flags`` are those of sink.py."""
    ports = free_ports(len(weights))
    running = [Process(command, cores()[1], log) for command, log in _commands(ports, traffic, directory, flags)]
    try:
        for number, port in enumerate(ports):
            wait_until_up(f"http://127.0.0.1:{port}", running[min(number, len(running) - 1)])
        yield tuple(zip(ports, weights, strict=True))
    finally:
        for process in running:
            process.stop()


def _commands(
    ports: Sequence[int], traffic: Traffic, directory: Path, flags: Sequence[str]
) -> Iterator[tuple[list[str], Path]]:
    if traffic.up <= 1024:  # what nginx throws away at no cost
        yield stub_command(list(ports), directory, traffic.down), directory / "stub.log"
        return
    for port in ports:
        yield [sys.executable, str(HERE / "sink.py"), str(port), *flags], directory / f"sink-{port}.log"


@contextmanager
def contestant(kind: type[Peer], setup: Setup, behind: Backends, directory: Path) -> Iterator[Peer]:
    """The peer, up and answering, alone on its core."""
    peer = kind(Work(free_ports(1)[0], tuple(behind), directory, setup), cores()[0])
    process = peer.start()
    try:
        wait_until_up(peer.url, process)
        yield peer
    finally:
        peer.stop()


def check_shares(peer: Peer) -> None:
    """A peer that does not split does less work: refuse to measure it."""
    asked = 300
    found, total = shares(peer.url, asked), sum(weight for _, weight in peer.work.backends)
    for port, weight in peer.work.backends:
        wanted = weight / total
        # Five standard deviations of the draw at the most, so that chance alone never fails a run.
        if abs(found.get(str(port), 0.0) - wanted) > 5 * (wanted * (1 - wanted) / asked) ** 0.5:
            sys.exit(f"{peer.name} does not split {peer.work.backends}: {found}")
