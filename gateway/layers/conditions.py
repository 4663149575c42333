"""The conditions of ``retryOn``: what a call must have come to, to be worth another one."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    UpstreamConnectFailure,
    UpstreamProtocolError,
    UpstreamReset,
    UpstreamTimeout,
)
from gateway.message import Request, Response

from .attempt import SAFE_METHODS

End = Response | GatewayError
"""What a call has come to."""

RETRY_BUFFER = 1 << 20
"""Bytes; a larger body is sent again only if no part of it was sent before."""

_ERRORS: dict[type[GatewayError], tuple[str, ...]] = {
    UpstreamConnectFailure: ("connect-failure", "gateway-error", "5xx"),
    UpstreamReset: ("reset", "gateway-error", "5xx"),
    UpstreamProtocolError: ("gateway-error", "5xx"),
    UpstreamTimeout: ("timeout", "gateway-error", "5xx"),
    DeadlineExceeded: ("timeout", "gateway-error", "5xx"),
}
"""The conditions that each error meets, the nearest first. No answer at all is a 5xx to whoever waits for one, as in
Envoy. What the gateway itself refused, for want of a place in a queue, say, meets none: more calls would not help."""

_STATUSES = {
    429: ("429",),
    502: ("gateway-error", "5xx"),
    503: ("503", "gateway-error", "5xx"),
    504: ("gateway-error", "5xx"),
}


class Conditions:
    """Those that one backend's ``retry`` names."""

    def __init__(self, names: Iterable[str], idempotent: bool) -> None:
        chosen = frozenset(names)
        self._errors = {kind: name for kind, met in _ERRORS.items() if (name := _first(met, chosen))}
        statuses = {status: _STATUSES.get(status, ("5xx",)) for status in (429, *range(500, 600))}
        self._statuses = {status: name for status, met in statuses.items() if (name := _first(met, chosen))}
        self._idempotent = idempotent

    def met(self, end: End, request: Request, cut_short: bool) -> str | None:
        """The condition that ``end`` meets, or None: it is what the caller gets.

        ``cut_short``: it ended before the caller's time was over; else there is none left after a timeout.
        """
        if isinstance(end, UpstreamConnectFailure):
            return self._errors.get(UpstreamConnectFailure)  # nothing was sent
        if not self._repeatable(request):
            return None
        if isinstance(end, Response):
            return self.of_answer(end)
        if isinstance(end, UpstreamTimeout | DeadlineExceeded) and not cut_short:
            return None
        return self._errors.get(type(end))

    def of_answer(self, answer: Response) -> str | None:
        """The condition that an answer meets. One of which the client may have seen a byte already must meet none."""
        return self._statuses.get(answer.status)

    def _repeatable(self, request: Request) -> bool:
        return (self._idempotent or request.method in SAFE_METHODS) and len(request.body) <= RETRY_BUFFER


def _first(met: tuple[str, ...], chosen: frozenset[str]) -> str | None:
    return next((name for name in met if name in chosen), None)
