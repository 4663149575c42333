"""Splitter, as KServe's router runs it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from random import random

from gateway.errors import GatewayError
from gateway.graph.step import Node, Step
from gateway.message import Request, Response

from .errors import RouterError, flattened


class KServeSplitter(Node):
    """Weights are per cent: the step on whose share a number out of 0-99 falls, and an error when it falls on none.

    ``random`` draws from [0, 1).
    """

    __slots__ = ("_bounds", "_random")

    def __init__(self, steps: Iterable[Step], random: Callable[[], float] = random) -> None:
        super().__init__(steps)
        self._bounds = list(accumulate(step.weight for step in self.steps))
        self._random = random

    async def __call__(self, request: Request, /) -> Response:
        index = bisect_right(self._bounds, int(self._random() * 100))
        if index == len(self.steps):
            raise RouterError("no route was selected by the splitter").at((self.node, ""))
        step = self.steps[index]
        request.route.append(step.label)
        try:
            return await step.call(request)
        except GatewayError as error:
            raise flattened(error, request).at(step.at)
