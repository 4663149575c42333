"""Splitter: one step by weight, drawn for each request. It never looks at the body."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable
from itertools import accumulate
from random import random

from gateway.message import Request, Response

from .step import Node, Step


class Splitter(Node):
    """Each step's share is its weight / the sum of weights; a step of weight 0 is never taken.

    Raises ValueError when no step has a weight. ``random`` draws from [0, 1).
    """

    __slots__ = ("_bounds", "_chosen", "_last", "_random", "_total")

    def __init__(self, steps: Iterable[Step], random: Callable[[], float] = random) -> None:
        super().__init__(steps)
        self._chosen = [step for step in self.steps if step.weight > 0]
        if not self._chosen:
            raise ValueError("a Splitter needs a step whose weight is not 0")
        self._bounds = list(accumulate(step.weight for step in self._chosen))
        self._total = self._bounds[-1]
        self._last = len(self._chosen) - 1
        self._random = random

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        # The last step needs no bound: with hi=last no rounding can reach beyond it.
        step = self._chosen[bisect_right(self._bounds, self._random() * self._total, 0, self._last)]
        request.route.append(step.label)
        return step.call(request)
