"""The hot path must not grow unseen: every bytecode instruction of a request is counted, and held against a record.

Time is too noisy to fail a build; the count is the same on every run and every machine. It differs between versions of
Python, and it does not see what happens inside C; for that there is bench/layers.py. To set the record anew, in the
commit that makes a request dearer on purpose or cheaper:

    .venv/bin/python -m tests.bench.test_guard
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import uvloop

from bench.layers import ENSEMBLE, LOGGED, SEQUENCE, SPLITTER, WholePath, sampling
from gateway.telemetry.access import AccessLog

RECORD = Path(__file__).with_name("guard.json")
COMMAND = "python -m tests.bench.test_guard"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PATHS: dict[str, Callable[[], WholePath]] = {
    "Splitter": partial(WholePath, SPLITTER, clients=1),
    "Sequence of 3": partial(WholePath, SEQUENCE, clients=1),
    "Ensemble of 3": partial(WholePath, ENSEMBLE, clients=1),
    "Splitter, access log": partial(WholePath, SPLITTER, clients=1, telemetry=LOGGED),
    "Splitter, sampled out": lambda: WholePath(SPLITTER, clients=1, tracer=sampling(0.0)),
}

ALLOWED = 1.10
"""Growth over the record beyond which it fails."""

HARNESS = ("bench.layers", __name__)
WARM_UP, ROUNDS = 3, 10

Cost = dict[str, int]
"""Instructions for one request, by function."""


class Instructions:
    """Counts the bytecode instructions of every function, but the harness's, that runs inside the ``with``."""

    def __init__(self) -> None:
        self.cost: Counter[str] = Counter()

    def __enter__(self) -> Instructions:
        self._before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # from 3.12 on, settrace heeds opcodes only if some frame wants them
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        module = frame.f_globals["__name__"]
        if module in HARNESS:
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.cost[f"{module}.{frame.f_code.co_qualname}"] += 1
        return self._trace


async def counted(make: Callable[[], WholePath]) -> Cost:
    """One request's instructions once heads are known, and those of its record in the log.

    The cheapest of several, for timers tick through some.
    """
    path = make()
    logs = [held for held in path.leases._held.values() if isinstance(held, AccessLog)]
    costs = []
    for _ in range(WARM_UP + ROUNDS):
        with Instructions() as instructions:
            await path.round()
            for log in logs:
                log.hand_on()
        costs.append(dict(instructions.cost))
    return min(costs[WARM_UP:], key=lambda cost: sum(cost.values()))


def cost(make: Callable[[], WholePath]) -> Cost:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(counted(make))


def growth(name: str, now: Cost, recorded: Cost) -> str:
    """What grew and how to agree to it; empty while the request costs no more than is allowed."""
    total, before = sum(now.values()), sum(recorded.values())
    if total <= before * ALLOWED:
        return ""
    grown = {function: now[function] - recorded.get(function, 0) for function in now}
    lines = [f"{name}: a request takes {total} instructions, {total / before - 1:.0%} more than the {before} on record"]
    for function in sorted(grown, key=lambda function: -grown[function]):
        if grown[function] > 0:
            lines.append(f"  +{grown[function]:<5} {function} ({recorded.get(function, 0)} -> {now[function]})")
    return "\n".join([*lines, f"If it is worth that, set the record anew: {COMMAND}"])


def records() -> dict[str, dict[str, Cost]]:
    """By version of Python and name of the graph."""
    found: dict[str, dict[str, Cost]] = json.loads(RECORD.read_text())
    return found


on_record = pytest.mark.skipif(PYTHON not in records(), reason=f"nothing is on record for Python {PYTHON}: {COMMAND}")


@on_record
@pytest.mark.parametrize("name", PATHS)
def test_a_request_takes_no_more_instructions_than_on_record(name: str) -> None:
    grown = growth(name, cost(PATHS[name]), records()[PYTHON][name])
    assert not grown, grown


@on_record
def test_the_count_is_the_same_every_time() -> None:
    assert cost(PATHS["Splitter"]) == cost(PATHS["Splitter"])


@on_record
def test_the_whole_way_is_counted() -> None:
    functions = cost(PATHS["Splitter"])
    for function in (
        "gateway.http.server.ServerConnection.data_received",
        "gateway.layers.recover.Recover.__call__",
        "gateway.graph.splitter.Splitter.__call__",
        "gateway.http.client.ClientConnection.send",
        "gateway.http.server.ServerConnection._write",
    ):
        assert functions[function] > 0


def test_the_tracer_that_was_there_is_put_back() -> None:
    before = sys.gettrace()
    with Instructions():
        pass
    assert sys.gettrace() is before


def test_growth_names_the_functions_that_grew_and_the_way_out() -> None:
    said = growth("Splitter", {"a": 100, "b": 30, "c": 5, "d": 7}, {"a": 100, "b": 10, "d": 9})
    assert said.splitlines() == [
        "Splitter: a request takes 142 instructions, 19% more than the 119 on record",
        "  +20    b (10 -> 30)",
        "  +5     c (0 -> 5)",
        f"If it is worth that, set the record anew: {COMMAND}",
    ]


def test_a_tenth_more_and_any_less_pass() -> None:
    assert not growth("Splitter", {"a": 110}, {"a": 100})
    assert not growth("Splitter", {"a": 10}, {"a": 100})
    assert growth("Splitter", {"a": 111}, {"a": 100})


def record() -> None:
    """Write down what a request costs on this version of Python, and say what that changes."""
    found = records()
    before = found.get(PYTHON, {})
    found[PYTHON] = {name: dict(sorted(cost(make).items())) for name, make in PATHS.items()}
    RECORD.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    for name, functions in found[PYTHON].items():
        print(f"{PYTHON} {name}: {sum(before.get(name, {}).values())} -> {sum(functions.values())} instructions")


if __name__ == "__main__":
    record()
