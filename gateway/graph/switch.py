"""Switch: the first step whose condition holds on the input. It waits for nothing, so it is no coroutine."""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.errors import GatewayError, NoRouteMatched
from gateway.message import Request, Response

from .step import Node, Step


class Switch(Node):
    """A step without a condition is the default: it also takes what is not JSON.

    Raises, at the call itself, NoRouteMatched when no step is taken, and whatever reading the body raises.
    """

    __slots__ = ()

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        try:
            step = self._choose(request)
        except GatewayError as error:
            raise error.at((self.node, ""))
        request.route.append(step.label)
        return step.call(request)

    def _choose(self, request: Request) -> Step:
        for step in self.steps:
            if step.holds(request):
                return step
        raise NoRouteMatched(f"no condition of node {self.node} holds")
