"""How soon the gateway answers after exec, and how long `gateway check` takes over a large file."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median

import yaml
from contest import Backends, backends
from graphs import pass_through, sized
from load import Traffic, wait_until_up
from outcome import Bench, Outcome
from peers import Gateway, Setup, Work
from processes import cores, free_ports, pinned


@dataclass(frozen=True)
class Start:
    """Each time anew, with the files in the page cache; `check` reads a file of ``size`` nodes."""

    name: str
    title: str
    size: int = 1000

    def run(self, bench: Bench) -> Outcome:
        times = max(bench.plan.rounds, 2)
        with backends((1,), Traffic(), bench.directory) as behind:
            tasks = {
                "exec to first answer": lambda: self._answer(behind, bench, Setup(pass_through)),
                f"exec to first answer, {self.size} nodes": lambda: self._answer(
                    behind, bench, Setup(sized(self.size))
                ),
                f"gateway check, {self.size} nodes": lambda: self._check(behind, bench),
            }
            samples = {label: [{"seconds": task()} for _ in range(times)] for label, task in tasks.items()}
        figures = {label: {"seconds": median(one["seconds"] for one in own)} for label, own in samples.items()}
        rows = [["what", "s", "spread", "times"]] + [
            [label, f"{figures[label]['seconds']:.2f}", _spread(own), str(len(own))] for label, own in samples.items()
        ]
        return Outcome(self.name, self.title, rows, figures, samples)

    def _answer(self, behind: Backends, bench: Bench, setup: Setup) -> float:
        peer = Gateway(Work(free_ports(1)[0], tuple(behind), bench.directory, setup), cores()[0])
        command = peer.command()
        begun = time.perf_counter()
        process = peer.start(command)
        try:
            wait_until_up(peer.url, process)
            return time.perf_counter() - begun
        finally:
            peer.stop()

    def _check(self, behind: Backends, bench: Bench) -> float:
        setup = Setup(sized(self.size))
        gateway = Gateway(Work(free_ports(1)[0], tuple(behind), bench.directory, setup), None)
        file = gateway.file("large.yaml", yaml.safe_dump(gateway.config()))
        command = pinned([sys.executable, "-m", "gateway", "check", file], cores()[0])
        begun = time.perf_counter()
        subprocess.run(command, capture_output=True, timeout=60, check=True)
        return time.perf_counter() - begun


def _spread(samples: list[dict[str, float]]) -> str:
    seconds = [sample["seconds"] for sample in samples]
    return f"{min(seconds):.2f}-{max(seconds):.2f}"
