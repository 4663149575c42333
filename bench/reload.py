"""What clients see of reloads: the same open loop with the configuration changed every second, and without."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from contest import backends, contestant
from load import Traffic, open_loop
from openloop import Result
from outcome import Bench, Outcome
from peers import Gateway, Peer, Setup


@dataclass(frozen=True)
class Reload:
    """``rate`` requests a second; each reload swaps the weights of a Splitter, so that there is something to do."""

    name: str
    title: str
    rate: float = 5000
    every: float = 1.0
    """Seconds."""

    def run(self, bench: Bench) -> Outcome:
        samples: dict[str, list[dict[str, float]]] = {"without reloads": [], "with reloads": []}
        for number in range(1, bench.plan.rounds + 1):
            for label, own in samples.items():
                own.append(self._sample(bench, reloading=label == "with reloads"))
                bench.say(f"{self.name} {number}/{bench.plan.rounds}  {label:<24} p99 {own[-1]['p99_ms']:.2f} ms")
        figures = {
            label: {name: median(one[name] for one in own) for name in own[0]}
            | {"errors": sum(o["errors"] for o in own)}
            for label, own in samples.items()
        }
        return Outcome(self.name, self.title, _rows(samples, figures), figures, samples)

    def _sample(self, bench: Bench, reloading: bool) -> dict[str, float]:
        seconds = max(bench.plan.seconds, 3 * self.every)
        with (
            backends((90, 10), Traffic(), bench.directory) as behind,
            contestant(Gateway, Setup(), behind, bench.directory) as peer,
        ):
            if not reloading:
                return asdict(self._load(peer, seconds, bench)) | {"reloads": 0.0}
            with _reloads(peer, self.every):
                result = self._load(peer, seconds, bench)
            return asdict(result) | {"reloads": float(_done(peer))}

    def _load(self, peer: Peer, seconds: float, bench: Bench) -> Result:
        return open_loop(peer.work.port, self.rate, seconds, bench.directory)


@contextmanager
def _reloads(peer: Peer, every: float) -> Iterator[None]:
    """Every so many seconds another file and a SIGHUP, until the block ends."""
    done = threading.Event()

    def keep_reloading() -> None:
        assert peer.process is not None
        path = Path(peer.file("next.yaml", ""))
        texts = [peer.work.directory.joinpath("gateway.yaml").read_text()]
        texts.insert(0, texts[0].replace("weight: 90", "weight: 89"))
        while not done.wait(every):
            path.write_text(texts[0])
            path.replace(peer.work.directory / "gateway.yaml")
            os.kill(peer.process.pid, signal.SIGHUP)
            texts.reverse()

    thread = threading.Thread(target=keep_reloading)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _done(peer: Peer) -> int:
    """How many reloads the gateway says it made."""
    assert peer.process is not None
    return peer.process.log.read_text(errors="replace").count(" reloaded ")


def _medians(own: list[dict[str, float]]) -> dict[str, float]:
    middle = {name: median(one[name] for one in own) for name in own[0]}
    return middle | {name: sum(one[name] for one in own) for name in ("errors", "reloads")}


def _rows(samples: dict[str, list[dict[str, float]]], figures: dict[str, dict[str, float]]) -> list[list[str]]:
    heads = ["load", "requests/s", "p50 ms", "p99 ms", "spread", "p99.9 ms", "max ms", "failures", "reloads"]
    return [heads, *(_row(label, own, figures[label]) for label, own in samples.items())]


def _row(label: str, own: list[dict[str, float]], middle: dict[str, float]) -> list[str]:
    p99s = [one["p99_ms"] for one in own]
    spread = f"{min(p99s):.2f}-{max(p99s):.2f}"
    p50, p99, *tail = (f"{middle[name]:.2f}" for name in ("p50_ms", "p99_ms", "p99_9_ms", "max_ms"))
    counts = (f"{middle[name]:.0f}" for name in ("errors", "reloads"))
    return [label, f"{middle['rate']:,.0f}", p50, p99, spread, *tail, *counts]
