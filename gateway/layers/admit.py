"""Admit: no more requests in flight than ``server.limits.maxInFlight``; the rest is told so at once."""

from __future__ import annotations

from gateway.errors import GatewayError, Overloaded
from gateway.message import Request, Response
from gateway.service import Layer, Service
from gateway.telemetry.metrics import Registry


class Allowance:
    """Places for requests in flight, shared by all graphs of a worker."""

    __slots__ = ("_part", "_saturation", "free")

    def __init__(self, places: int, registry: Registry, workers: int = 1) -> None:
        """``places``: of this worker, which is one of ``workers``."""
        self.free = places
        # Added up over the workers it is the saturation of them all.
        self._part = 1 / (places * workers)
        self._saturation = registry.gauge("gateway_saturation_ratio").cells

    def take(self) -> bool:
        """Take a place; False if there is none."""
        if self.free <= 0:
            return False
        self.free -= 1
        self._saturation[0] += self._part
        return True

    def give_back(self) -> None:
        self.free += 1
        self._saturation[0] -= self._part


class Admit:
    """Takes a place for the time of a request, to the end of its answer, or refuses with 503."""

    def __init__(self, inner: Service, allowance: Allowance) -> None:
        self.inner = inner
        self._allowance = allowance

    async def __call__(self, request: Request) -> Response:
        if not self._allowance.take():
            raise Overloaded("too many requests in flight", retry_after=1)
        try:
            response = await self.inner(request)
        except BaseException:
            self._allowance.give_back()
            raise
        if response.stream is None:
            self._allowance.give_back()
        else:
            response.stream.when_ended(self._leave)
        return response

    def _leave(self, _: GatewayError | None) -> None:
        self._allowance.give_back()


def admit(allowance: Allowance) -> Layer:
    """One Admit for each graph, one ``allowance`` for all."""
    return lambda inner: Admit(inner, allowance)
