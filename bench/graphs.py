"""The gateway's graphs that the cases measure, as the `nodes` of a configuration. Backends are called b0, b1, ...

Each is a function of the backends' weights, so that one set of running backends serves any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Step = dict[str, object]
Nodes = dict[str, object]
Graph = Callable[[Sequence[int]], Nodes]

NEXT: Step = {"data": "$response", "dependency": "Hard"}


def pass_through(weights: Sequence[int]) -> Nodes:
    """To the first backend and back."""
    return {"root": _node("Sequence", [{"backend": "b0"}])}


def splitter(weights: Sequence[int]) -> Nodes:
    return {"root": _node("Splitter", [{"backend": f"b{i}", "weight": weight} for i, weight in enumerate(weights)])}


def sequence(weights: Sequence[int]) -> Nodes:
    """One backend after the other, each with the answer of the one before."""
    return {"root": _node("Sequence", [{"backend": "b0"}, *({"backend": f"b{i}"} | NEXT for i in range(1, 3))])}


def ensemble(weights: Sequence[int]) -> Nodes:
    """Three backends at once, their answers in one."""
    return {"root": _node("Ensemble", [{"name": f"model{i}", "backend": f"b{i}"} for i in range(3)])}


def switch(condition: str) -> Graph:
    """The first step, whose condition holds for the bench's bodies."""
    steps: list[Step] = [{"backend": "b0", "condition": condition}, {"backend": "b1"}]
    return lambda weights: {"root": _node("Switch", steps)}


def nested(weights: Sequence[int]) -> Nodes:
    """Three nodes inside each other, one backend."""
    return {
        "root": _node("Sequence", [{"nodeName": "middle"}]),
        "middle": _node("Splitter", [{"nodeName": "inner", "weight": 1}]),
        "inner": _node("Sequence", [{"backend": "b0"}]),
    }


def sized(size: int) -> Graph:
    """``size`` nodes, of which a request meets `root`, `middle` and `inner` (with a size of 1: the root alone).

    The others hang below `inner` at a weight of 0, fifty to a node, so that the file is as large as it says.
    """
    if size == 1:
        return pass_through
    others = [f"other{number}" for number in range(size - 3)]
    splits = others[: max(1, len(others) // 50)]
    leaves = others[len(splits) :]
    nodes: Nodes = {
        "root": _node("Sequence", [{"nodeName": "middle"}]),
        "middle": _node("Splitter", [{"nodeName": "inner", "weight": 1}]),
        "inner": _node("Splitter", [{"backend": "b0", "weight": 1}, *_never(splits)]),
    }
    for number, name in enumerate(splits):
        nodes[name] = _node("Splitter", [{"backend": "b0", "weight": 1}, *_never(leaves[number :: len(splits)])])
    nodes |= {name: _node("Sequence", [{"backend": "b0"}]) for name in leaves}
    return lambda weights: nodes


def _node(kind: str, steps: list[Step]) -> dict[str, object]:
    return {"routerType": kind, "steps": steps}


def _never(names: list[str]) -> list[Step]:
    return [{"nodeName": name, "weight": 0} for name in names]
