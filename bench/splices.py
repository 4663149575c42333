"""What it costs to make one call of sixteen requests, and sixteen answers of its answer, without a socket or a loop.

    .venv/bin/python bench/splices.py [--quick]
    valgrind --tool=callgrind .venv/bin/python bench/splices.py --count 100 "v1, 4 floats"

Nanoseconds of processor time for each request, the best of several passes. `member`: to read a request, and to find
those like it; `merge` and `split`: the call and its answer. `--count` does all three so many times, for whoever counts
instructions: the difference of two counts is what they take without the start of the process.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Hashable
from random import Random
from struct import pack
from time import process_time
from typing import NamedTuple

from gateway.control.process import MALLOC
from gateway.formats.format import Format, Member
from gateway.formats.v1 import V1
from gateway.formats.v2 import V2
from gateway.message import Headers, Request, Response

TOGETHER = 16
CLASSES = 10
"""Numbers in an answer, for each row."""

JSON: Headers = [(b"content-type", b"application/json")]
LENGTH = b"inference-header-content-length"


class Case(NamedTuple):
    """Requests of one row each, all different, and the answer to their call."""

    format: Format
    requests: list[Request]
    answer: Response

    def members(self) -> list[Member]:
        known: dict[Hashable, None] = {}
        members = []
        for request in self.requests:
            member = self.format.member(request)
            known[member.key] = None
            members.append(member)
        assert len(known) == 1
        return members


def v1(width: int) -> Case:
    dice = Random(1)
    bodies = [b'{"instances": [[%b]]}' % _floats(dice, width) for _ in range(TOGETHER)]
    rows = b", ".join(b"[%b]" % _floats(dice, CLASSES) for _ in bodies)
    requests = [Request(b"POST", b"/v1/models/iris:predict", JSON, body) for body in bodies]
    return Case(V1(), requests, Response(200, JSON, b'{"predictions": [%b]}' % rows))


def v2(width: int) -> Case:
    dice = Random(1)
    tensor = b'{"name": "x", "shape": [%d, %d], "datatype": "FP32", "data": [%b]}'
    bodies = [b'{"inputs": [%b]}' % (tensor % (1, width, _floats(dice, width))) for _ in range(TOGETHER)]
    output = tensor % (TOGETHER, CLASSES, _floats(dice, CLASSES * TOGETHER))
    requests = [Request(b"POST", b"/v2/models/iris/infer", JSON, body) for body in bodies]
    return Case(V2(), requests, Response(200, JSON, b'{"model_name": "iris", "id": "b", "outputs": [%b]}' % output))


def binary(width: int) -> Case:
    dice = Random(1)
    tensor = b'{"name": "x", "shape": [%d, %d], "datatype": "FP32", "parameters": {"binary_data_size": %d}}'
    head = b'{"inputs": [%b]}' % (tensor % (1, width, 4 * width))
    requests = [
        Request(b"POST", b"/v2/models/iris/infer", _framed(head), head + _blob(dice, width)) for _ in range(TOGETHER)
    ]
    count = CLASSES * TOGETHER
    said = b'{"model_name": "iris", "id": "b", "outputs": [%b]}' % (tensor % (TOGETHER, CLASSES, 4 * count))
    return Case(V2(), requests, Response(200, _framed(said), said + _blob(dice, count)))


def _framed(json: bytes) -> Headers:
    return [(b"content-type", b"application/octet-stream"), (LENGTH, b"%d" % len(json))]


def _floats(dice: Random, count: int) -> bytes:
    return ", ".join(f"{dice.random():.6f}" for _ in range(count)).encode()


def _blob(dice: Random, count: int) -> bytes:
    return pack(f"<{count}f", *(dice.random() for _ in range(count)))


CASES: dict[str, Callable[[], Case]] = {
    "v1, 4 floats": lambda: v1(4),
    "v1, 784 floats": lambda: v1(784),
    "v2 JSON, 4 floats": lambda: v2(4),
    "v2 JSON, 784 floats": lambda: v2(784),
    "v2 binary, 4 floats": lambda: binary(4),
    "v2 binary, 784 floats": lambda: binary(784),
}


def once(case: Case) -> list[Response]:
    """From requests to their answers."""
    members = case.members()
    case.format.merge(members)
    return case.format.split(case.answer, members)


def best(act: Callable[[], object], seconds: float, passes: int) -> float:
    """Nanoseconds of one request."""
    return min(_timed(act, seconds) for _ in range(passes)) / TOGETHER * 1e9


def _timed(act: Callable[[], object], seconds: float) -> float:
    count, began = 0, process_time()
    while (took := process_time() - began) < seconds:
        act()
        count += 1
    return took / count


def parts(case: Case, seconds: float, passes: int) -> list[float]:
    """Of `member`, `merge` and `split`."""
    members = case.members()
    acts = (case.members, lambda: case.format.merge(members), lambda: case.format.split(case.answer, members))
    return [best(act, seconds, passes) for act in acts]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="does everything still run?")
    options.add_argument("--count", type=int, metavar="N", help="do it so many times, and say nothing")
    options.add_argument("case", nargs="?", choices=CASES, default="v1, 4 floats", help="with --count")
    chosen = options.parse_args()
    if chosen.count is not None:
        case = CASES[chosen.case]()
        for _ in range(chosen.count):
            once(case)
        return
    if not MALLOC.items() <= os.environ.items():  # as workers have it
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MALLOC)
    gc.freeze()
    print(f"{f'ns a request, {TOGETHER} in a call':<30}{'member':>9}{'merge':>9}{'split':>9}{'all':>9}")
    for name, make in CASES.items():
        found = parts(make(), *(0.001, 1) if chosen.quick else (0.03, 7))
        print(f"{name:<30}" + "".join(f"{one:>9,.0f}" for one in (*found, sum(found))))


if __name__ == "__main__":
    main()
