"""Sequence: step after step, each on the node's input or on the answer before it."""

from __future__ import annotations

import msgspec

from gateway.errors import GatewayError, NoRouteMatched
from gateway.message import Request, Response

from .document import decoded
from .step import Node, Step


class Sequence(Node):
    """The node answers as its last executed step does, whether that succeeded or not.

    A condition is tested on the latest answer, whatever its status; ``$response`` is the latest successful answer.
    While there is none, either is the node's input. A Soft step that got no answer at all leaves both as they were,
    and its error is raised when no later step is executed.
    Raises NoRouteMatched when conditions left every step out, DeadlineExceeded when the time is up before a step.
    """

    __slots__ = ()

    async def __call__(self, request: Request, /) -> Response:
        latest: Request | Response = request
        good: Response | None = None
        end: Response | GatewayError | None = None
        for step in self.steps:
            if step.condition is not None and not step.holds(latest):
                if step.skip:
                    continue
                break
            step.in_time(request)
            try:
                end = latest = await step.call(_input(step, request, good))
            except GatewayError as error:
                end = error.at(step.at)
                if step.hard:
                    raise
                continue
            if end.ok:
                good = end
            elif step.hard:
                break
        if isinstance(end, Response):
            return end
        raise end or NoRouteMatched(f"no condition of node {self.node} holds", node=self.node)


def _input(step: Step, request: Request, good: Response | None) -> Request:
    if step.use_response and good is not None:
        request = request.carrying(good)
    return instances(request) if step.map_predictions else request


class _Predictions(msgspec.Struct):
    predictions: msgspec.Raw = msgspec.Raw()


_predictions = msgspec.json.Decoder(_Predictions).decode


def instances(request: Request) -> Request:
    """``{"predictions": [...]}`` as ``{"instances": [...]}``, digit for digit; as in KServe, other members are dropped.

    The request itself when it has no predictions, or has them in no array.
    """
    try:
        found = bytes(_predictions(decoded(request)).predictions)
    except (msgspec.DecodeError, RecursionError):
        return request
    if not is_filled_array(found):
        return request
    body = b'{"instances":%b}' % found
    return request.carrying(Response(200, [(b"content-type", b"application/json")], body))


def is_filled_array(raw: bytes) -> bool:
    """True for the JSON text, known to be valid, of an array that is not empty."""
    return raw.startswith(b"[") and not raw[1:].lstrip().startswith(b"]")
