"""Admit: no more requests in flight than ``server.limits.maxInFlight``; the rest is told so at once."""

from __future__ import annotations

from gateway.errors import GatewayError, Overloaded
from gateway.message import Request, Response
from gateway.service import Layer, Service


class Allowance:
    """Places for requests in flight, shared by all graphs of a worker."""

    __slots__ = ("free",)

    def __init__(self, places: int) -> None:
        self.free = places


class Admit:
    """Takes a place for the time of a request, to the end of its answer, or refuses with 503."""

    def __init__(self, inner: Service, allowance: Allowance) -> None:
        self.inner = inner
        self._allowance = allowance

    async def __call__(self, request: Request) -> Response:
        allowance = self._allowance
        if allowance.free <= 0:
            raise Overloaded("too many requests in flight", retry_after=1)
        allowance.free -= 1
        try:
            response = await self.inner(request)
            if response.stream is not None:
                allowance.free -= 1
                response.stream.when_ended(self._leave)
            return response
        finally:
            allowance.free += 1

    def _leave(self, _: GatewayError | None) -> None:
        self._allowance.free += 1


def admit(allowance: Allowance) -> Layer:
    """One Admit for each graph, one ``allowance`` for all."""
    return lambda inner: Admit(inner, allowance)
