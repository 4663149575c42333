"""Switch, as KServe's router runs it."""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.graph.document import NOT_JSON
from gateway.graph.step import Node, Step
from gateway.message import Request, Response

from .errors import NoRoute, flattened
from .gojson import document


class KServeSwitch(Node):
    """The first step whose condition holds; a step without one is never taken, so there is no default.

    Raises NoRoute when none holds or the input is not JSON.
    """

    __slots__ = ()

    async def __call__(self, request: Request, /) -> Response:
        step = self._choose(document(request))
        request.route.append(step.label)
        try:
            return await step.call(request)
        except GatewayError as error:
            raise flattened(error, request).at(step.at)

    def _choose(self, found: object) -> Step:
        if found is not NOT_JSON:
            for step in self.steps:
                if step.condition is not None and step.condition(found):
                    return step
        raise NoRoute().at((self.node, ""))
