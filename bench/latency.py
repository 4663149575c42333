"""What a contestant adds to the latency of a direct call: open loops at parts of its capacity, and all at one rate.

Each sample has its own direct call at the same rate just before it, and what is added is the difference of the two
quantiles. A rate that the load and the backend cannot keep up with between themselves says nothing of a contestant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median

from contest import Backends, backends, contestant
from graphs import pass_through
from load import Traffic, drive, open_loop
from openloop import Result
from outcome import Bench, Figures, Outcome
from peers import Peer, Setup
from processes import cores

QUANTILES = ("p50_ms", "p99_ms", "p99_9_ms")

KEPT = 0.98
"""The part of the rate that must be answered in time for a sample to count."""

AT_THE_COMMON_SHARE = 4
"""Samples a round where the contestants are compared. A stall of the machine itself is in a p99 of three seconds or it
is not, so that one sample may be ten times the next: only the median of many says something."""

Sample = dict[str, float]


@dataclass(frozen=True)
class Point:
    """One contestant at one rate; ``of`` is whose capacity the ``share`` is of."""

    peer: type[Peer]
    share: float
    of: str

    @property
    def label(self) -> str:
        whose = "its own" if self.of == self.peer.name else self.of
        return f"{self.peer.name} at {self.share * 100:.0f} % of {whose}"


@dataclass(frozen=True)
class Latency:
    """``peers`` at ``shares`` of their own capacity; and all at ``common`` of the first one's.

    At the share ``common`` there are more samples than at the others.
    """

    name: str
    title: str
    peers: tuple[type[Peer], ...]
    shares: tuple[float, ...] = (0.2, 0.5, 0.8)
    common: float = 0.5

    def run(self, bench: Bench) -> Outcome:
        present = [peer for peer in self.peers if not peer.missing() and (not bench.only or peer.name in bench.only)]
        with backends((1,), Traffic(), bench.directory) as behind:
            capacity = {peer.name: self._capacity(peer, behind, bench) for peer in present}
            points = [point for point in self._points(present) if point.of in capacity]
            compared = [point for point in points if point.share == self.common]
            samples: dict[str, list[Sample]] = {point.label: [] for point in points}
            for number in range(1, bench.plan.rounds + 1):
                for point in points + compared * (AT_THE_COMMON_SHARE - 1):
                    rate = point.share * capacity[point.of]
                    samples[point.label].append(_sample(point, rate, behind, bench))
                    bench.say(f"{self.name} {number}/{bench.plan.rounds}  {point.label:<34} {rate:>9,.0f} requests/s")
        figures = {label: _medians(own) for label, own in samples.items()}
        return Outcome(self.name, self.title, _rows(samples, figures), figures, samples, (_said(capacity),))

    def _points(self, present: list[type[Peer]]) -> Iterator[Point]:
        for peer in present:
            yield from (Point(peer, share, peer.name) for share in self.shares)
            if peer is not self.peers[0]:
                yield Point(peer, self.common, self.peers[0].name)

    def _capacity(self, peer: type[Peer], behind: Backends, bench: Bench) -> float:
        """Requests a second of a closed loop of 64 connections."""
        with contestant(peer, Setup(pass_through), behind, bench.directory) as running:
            load = drive(running.url, Traffic(), bench.plan.seconds, cores()[1], bench.directory)
        return load.requests / load.seconds


def _sample(point: Point, rate: float, behind: Backends, bench: Bench) -> Sample:
    seconds = bench.plan.seconds
    direct = open_loop(behind[0][0], rate, seconds, bench.directory)
    with contestant(point.peer, Setup(pass_through), behind, bench.directory) as running:
        through = open_loop(running.work.port, rate, seconds, bench.directory)
    added = {f"added_{name}": getattr(through, name) - getattr(direct, name) for name in QUANTILES}
    kept = {"load_kept": float(_keeps(direct, rate)), "kept": float(_keeps(through, rate))}
    return asdict(through) | added | {"share": point.share, "direct_p99_ms": direct.p99_ms} | kept


def _keeps(result: Result, rate: float) -> bool:
    return result.rate >= KEPT * rate


def _medians(samples: list[Sample]) -> dict[str, float]:
    """Of the samples whose rate the load could keep; nothing of the latency where it never could."""
    own = [sample for sample in samples if sample["load_kept"]]
    return {name: median(sample[name] for sample in own) for name in samples[0]} if own else {}


def _rows(samples: dict[str, list[Sample]], figures: Figures) -> list[list[str]]:
    heads = ["contestant", "requests/s", "added p50 ms", "added p99 ms", "spread", "added p99.9 ms", "direct p99 ms"]
    rows = [[*heads, "errors", "rounds"]]
    return rows + [_row(label, own, figures[label]) for label, own in samples.items()]


def _row(label: str, samples: list[Sample], middle: dict[str, float]) -> list[str]:
    own = [sample for sample in samples if sample["load_kept"]]
    if not own:
        return [label, "more than the load can keep", *[""] * 6, f"0/{len(samples)}"]
    p99s = [sample["added_p99_ms"] for sample in own]
    return [
        label,
        f"{middle['rate']:,.0f}",
        *(f"{middle[name]:.2f}" for name in ("added_p50_ms", "added_p99_ms")),
        f"{min(p99s):.2f}-{max(p99s):.2f}",
        *(f"{middle[name]:.2f}" for name in ("added_p99_9_ms", "direct_p99_ms")),
        f"{sum(sample['errors'] for sample in own):.0f}",
        f"{len(own)}/{len(samples)}",
    ]


def _said(capacity: dict[str, float]) -> str:
    each = ", ".join(f"{name} {rate:,.0f}" for name, rate in capacity.items())
    return f"100 % is what a closed loop of 64 connections got, in requests a second: {each}."
