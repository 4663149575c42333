"""What the soak does to its endpoints, and when: peace, trouble for one of them, peace again."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from load import wait_until_up
from processes import Process, cores

PEACE = "peace"
TROUBLES = ("killed", "stopped", "slow")
"""SIGKILL; SIGSTOP; answers 200 ms late."""


@dataclass(frozen=True)
class Phase:
    """Seconds since the beginning; ``endpoint`` is the number of the one in trouble."""

    what: str
    begin: float
    end: float
    endpoint: int | None = None


def phases(seconds: float, endpoints: int, peace: float = 5.0, trouble: float = 10.0) -> list[Phase]:
    """Each trouble in turn for each endpoint in turn, as long as peace can follow; peace takes what is left."""
    found: list[Phase] = []
    at, number = 0.0, 0
    while at + 2 * peace + trouble <= seconds:
        begin, end = at + peace, at + peace + trouble
        found.append(Phase(PEACE, at, begin))
        found.append(Phase(TROUBLES[number % len(TROUBLES)], begin, end, number % endpoints))
        at, number = end, number + 1
    return [*found, Phase(PEACE, at, seconds)]


class Endpoint:
    """One process of endpoint.py, always on the same port."""

    def __init__(self, port: int, directory: Path) -> None:
        self.port = port
        self._log = directory / f"endpoint-{port}.log"
        self._process = self._start()

    def _start(self) -> Process:
        script = str(Path(__file__).with_name("endpoint.py"))
        return Process([sys.executable, script, str(self.port)], cores()[1], self._log)

    def wait_until_up(self) -> None:
        wait_until_up(f"http://127.0.0.1:{self.port}", self._process)

    def suffer(self, what: str) -> None:
        number = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP, "slow": signal.SIGUSR1}[what]
        self._process.signal(number)

    def recover(self, what: str) -> None:
        if what == "killed":
            self._process.stop()
            self._process = self._start()
        else:
            self._process.signal({"stopped": signal.SIGCONT, "slow": signal.SIGUSR2}[what])

    def stop(self) -> None:
        self._process.signal(signal.SIGCONT)
        self._process.stop()


@contextmanager
def endpoints(ports: Sequence[int], directory: Path) -> Iterator[list[Endpoint]]:
    """One on each port, up."""
    with ExitStack() as running:
        found = [Endpoint(port, directory) for port in ports]
        for one in found:
            running.callback(one.stop)
        for one in found:
            one.wait_until_up()
        yield found


@contextmanager
def afflicted(plan: Sequence[Phase], behind: Sequence[Endpoint]) -> Iterator[None]:
    """From now on, and until the block ends, things happen as planned."""
    done, began = threading.Event(), time.perf_counter()

    def go_by_the_plan() -> None:
        for phase in plan:
            if phase.endpoint is None:
                continue
            sufferer = behind[phase.endpoint]
            if done.wait(began + phase.begin - time.perf_counter()):
                return
            sufferer.suffer(phase.what)
            done.wait(began + phase.end - time.perf_counter())
            sufferer.recover(phase.what)

    thread = threading.Thread(target=go_by_the_plan)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
