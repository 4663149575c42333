"""How much a contestant does with its core: closed loops, in interleaved rounds.

Every contestant has its turn once a round, so that a slow minute of the machine is slow for all of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median

from contest import Backends, backends, check_shares, contestant
from load import Traffic, drive
from outcome import Bench, Figures, Outcome
from peers import Gateway, Peer, Setup
from processes import cores

QUIET = 0.95
"""A sample in which the peer got less of its core than this is left out: it tells of the machine, not of the peer."""


DEFAULT = Setup()
SMALL = Traffic()


@dataclass(frozen=True)
class Sample:
    """One contestant, one round."""

    requests_per_second: float
    cpu_us: float
    """CPU time of the peer for each request, in microseconds."""
    path_us: float
    """That part of it which the processes took that requests go through."""
    core: float
    """The part of its core that the peer got; well below 1, something else was in the way of its throughput."""
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class Entry:
    """A contestant as it enters a case: a peer, or the gateway set up in some way."""

    label: str
    peer: type[Peer] = Gateway
    setup: Setup = DEFAULT
    traffic: Traffic | None = None
    """Where its clients differ from the case's."""


@dataclass(frozen=True)
class Throughput:
    """The same ``traffic`` for each of the ``entries``; ``weights`` are the backends'."""

    name: str
    title: str
    entries: tuple[Entry, ...]
    references: tuple[str, ...]
    """Labels that the others are compared with."""
    traffic: Traffic = SMALL
    weights: tuple[int, ...] = (1,)
    note: str = ""

    def run(self, bench: Bench) -> Outcome:
        present = [e for e in self.entries if not e.peer.missing() and (not bench.only or e.peer.name in bench.only)]
        missing = [entry.label for entry in self.entries if entry.peer.missing()]
        samples: dict[str, list[Sample]] = {entry.label: [] for entry in present}
        with backends(self.weights, self.traffic, bench.directory) as behind:
            for number in range(1, bench.plan.rounds + 1):
                for entry in present:
                    sample = self._sample(entry, behind, bench, first=number == 1)
                    rate = f"{sample.requests_per_second:>9,.0f} requests/s"
                    bench.say(f"{self.name} {number}/{bench.plan.rounds}  {entry.label:<24} {rate}")
                    samples[entry.label].append(sample)
        return self._outcome(samples, missing)

    def _sample(self, entry: Entry, behind: Backends, bench: Bench, first: bool) -> Sample:
        traffic, plan, core = entry.traffic or self.traffic, bench.plan, cores()[1]
        with contestant(entry.peer, entry.setup, behind, bench.directory) as peer:
            if first and _splits(entry.peer, entry.setup, self.weights):
                check_shares(peer)
            if plan.warm_up:
                drive(peer.url, traffic, plan.warm_up, core, bench.directory)
            assert peer.process is not None
            before, on_path = peer.process.cpu_seconds(), peer.process.cpu_seconds(peer.path)
            load = drive(peer.url, traffic, plan.seconds, core, bench.directory)
            cpu, path = peer.process.cpu_seconds() - before, peer.process.cpu_seconds(peer.path) - on_path
        return Sample(
            requests_per_second=load.requests / load.seconds,
            cpu_us=cpu / max(load.requests, 1) * 1e6,
            path_us=path / max(load.requests, 1) * 1e6,
            core=cpu / load.seconds,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            errors=load.errors,
        )

    def _outcome(self, samples: dict[str, list[Sample]], missing: list[str]) -> Outcome:
        blank = [""] * (len(HEADS) - 1 + len(self.references))
        rows = [[*HEADS, f"µs more than {self.references[0]}", *(f"x {name}" for name in self.references)]]
        rows += [_row(label, samples, self.references) for label in samples]
        rows += [[label, "missing", *blank] for label in missing]
        figures: Figures = {label: _medians(own) for label, own in samples.items()}
        raw = {label: [asdict(sample) for sample in own] for label, own in samples.items()}
        return Outcome(self.name, self.title, rows, figures, raw, (self.note,) if self.note else ())


HEADS = ("contestant", "requests/s", "spread", "rounds", "µs CPU", "core", "p50 ms", "p99 ms", "errors")


def _splits(peer: type[Peer], setup: Setup, weights: tuple[int, ...]) -> bool:
    return len(weights) > 1 and (peer is not Gateway or setup.graph is DEFAULT.graph)


def counted(samples: list[Sample]) -> list[Sample]:
    """The samples that count; all of them where none was quiet."""
    return [sample for sample in samples if sample.core >= QUIET] or samples


def _medians(samples: list[Sample]) -> dict[str, float]:
    names = ("requests_per_second", "cpu_us", "path_us", "core", "p50_ms", "p99_ms")
    own = counted(samples)
    return {name: median(getattr(sample, name) for sample in own) for name in names} | {
        "errors": float(sum(sample.errors for sample in samples))
    }


def _row(label: str, samples: dict[str, list[Sample]], references: tuple[str, ...]) -> list[str]:
    own, middle = counted(samples[label]), _medians(samples[label])
    rates = [sample.requests_per_second for sample in own]
    return [
        label,
        f"{middle['requests_per_second']:,.0f}",
        f"{min(rates):,.0f}-{max(rates):,.0f}",
        f"{len(own)}/{len(samples[label])}",
        f"{middle['cpu_us']:.1f}",
        f"{middle['core']:.0%}",
        f"{middle['p50_ms']:.2f}",
        f"{middle['p99_ms']:.2f}",
        f"{middle['errors']:.0f}",
        _more(samples, label, references[0]),
        *(_ratio(samples, label, reference) for reference in references),
    ]


def _more(samples: dict[str, list[Sample]], label: str, reference: str) -> str:
    """CPU time on the path of a request, less that of one through ``reference``."""
    if reference not in samples:
        return ""
    return f"{_medians(samples[label])['path_us'] - _medians(samples[reference])['path_us']:+.1f}"


def _ratio(samples: dict[str, list[Sample]], label: str, reference: str) -> str:
    """Of the medians; in parentheses the least and the greatest of the rounds'."""
    if reference not in samples:
        return ""
    one, other = samples[label], samples[reference]
    ratio = _medians(one)["requests_per_second"] / _medians(other)["requests_per_second"]
    quiet = [pair for pair in zip(one, other, strict=True) if min(pair[0].core, pair[1].core) >= QUIET]
    rounds = [a.requests_per_second / b.requests_per_second for a, b in quiet or zip(one, other, strict=True)]
    return f"{ratio:.2f} ({min(rounds):.2f}-{max(rounds):.2f})"
