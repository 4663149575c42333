"""What a worker holds: idle, for each idle connection, for each large request at work; and whether it grows."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from statistics import median

from contest import backends, contestant
from graphs import pass_through
from load import PATH, Traffic, body, drive
from outcome import Bench, Figures, Outcome
from peers import Gateway, Peer, Setup
from processes import Process, cores, resident

KIB = 1 << 10
MIB = 1 << 20

MIX = (Traffic(16, up=MIB), Traffic(up=10 * KIB), Traffic(512, up=2 * KIB, fresh_heads=True))
"""The soak's turns, a second each."""

SHORT = Traffic(headers=(("connection", "close"),))
"""A connection for each request, before the soak: the collector's last generation, and with it the closed connections,
takes tens of thousands of them to come to rest."""

ENOUGH = 8
"""Rounds of all turns from which growth can be told."""


@dataclass(frozen=True)
class Memory:
    """One worker behind a pass-through; RSS and PSS are those of the worker alone, not of its control process."""

    name: str
    title: str
    connections: int = 2000
    in_flight: int = 64
    """Requests of 1 MiB that wait for their answer at once."""

    def run(self, bench: Bench) -> Outcome:
        figures: Figures = {}
        for part in (self._idle, self._at_work, self._soak):
            figures |= part(bench)
            bench.say(f"{self.name}  {', '.join(figures)}")
        return Outcome(self.name, self.title, _rows(figures), figures)

    def _idle(self, bench: Bench) -> Figures:
        """Each connection has had one answer, as an idle one of a real client has."""
        with _worker(bench) as (peer, memory), ExitStack() as clients:
            empty = memory()
            for _ in range(self.connections):
                clients.enter_context(closing(_client(peer)))
            full = memory()
        return {"idle worker": _mib(empty), "idle connection": _each(empty, full, self.connections)}

    def _at_work(self, bench: Bench) -> Figures:
        """The backend has the whole body and does not answer."""
        with _worker(bench, "--hold") as (peer, memory):
            empty = memory()
            with _requests(peer, self.in_flight):
                full = _settled(memory)
        return {"1 MiB request in flight": _each(empty, full, self.in_flight)}

    def _soak(self, bench: Bench) -> Figures:
        """A reading after each round of all turns, so that like is compared with like."""
        seen: list[tuple[int, int]] = []
        with _worker(bench) as (peer, memory):
            drive(peer.url, SHORT, 5 * bench.plan.warm_up + 1, cores()[1], bench.directory)
            end = time.monotonic() + bench.plan.soak
            while not seen or time.monotonic() < end:
                for traffic in MIX:
                    drive(peer.url, traffic, 1, cores()[1], bench.directory)
                seen.append(memory())
        return {"soak": _mib(seen[-1]) | (growth([rss for rss, _ in seen]) if len(seen) >= ENOUGH else {})}


def growth(seen: list[int]) -> dict[str, float]:
    """From the second quarter to the last, of the medians; in the first the caches fill."""
    quarter = len(seen) // 4
    early, late = median(seen[quarter : 2 * quarter]), median(seen[-quarter:])
    return {"growth": late / early - 1, "growth_mib": (late - early) / MIB}


Reading = Callable[[], tuple[int, int]]


@contextmanager
def _worker(bench: Bench, *flags: str) -> Iterator[tuple[Peer, Reading]]:
    """A gateway that has just answered its first request, and how to read its worker's memory."""
    with (
        backends((1,), MIX[0], bench.directory, flags) as behind,
        contestant(Gateway, Setup(pass_through), behind, bench.directory) as peer,
    ):
        assert peer.process is not None
        yield peer, _memory_of(peer.process)


def _memory_of(process: Process) -> Reading:
    (worker,) = process.workers
    return lambda: resident(worker)


def _client(peer: Peer) -> http.client.HTTPConnection:
    client = http.client.HTTPConnection("127.0.0.1", peer.work.port, timeout=10)
    client.request("POST", PATH, body(100), {"content-type": "application/json"})
    client.getresponse().read()
    return client


@contextmanager
def _requests(peer: Peer, count: int) -> Iterator[None]:
    """So many 1 MiB requests, sent whole; they end, unanswered, with the block."""
    sent = b"POST %b HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n%b" % (PATH.encode(), MIB, body(MIB))
    with ExitStack() as clients:
        for _ in range(count):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", peer.work.port), timeout=10))
            client.sendall(sent)
        yield


def _settled(memory: Reading) -> tuple[int, int]:
    """The greatest of a second's readings: the last bodies are still on their way in the first of them."""
    readings = []
    for _ in range(10):
        time.sleep(0.1)
        readings.append(memory())
    return max(readings)


def _mib(reading: tuple[int, int]) -> dict[str, float]:
    return {"rss_mib": reading[0] / MIB, "pss_mib": reading[1] / MIB}


def _each(empty: tuple[int, int], full: tuple[int, int], count: int) -> dict[str, float]:
    return {"kib_each": (full[0] - empty[0]) / count / KIB}


def _rows(figures: Figures) -> list[list[str]]:
    shapes = {"rss_mib": "{:.1f}", "pss_mib": "{:.1f}", "kib_each": "{:.1f}", "growth": "{:+.1%}"}
    rows = [["what", "RSS MiB", "PSS MiB", "KiB each", "growth"]]
    return rows + [
        [label, *(shape.format(own[name]) if name in own else "" for name, shape in shapes.items())]
        for label, own in figures.items()
    ]
