"""Sequence, as KServe's router runs it."""

from __future__ import annotations

import msgspec

from gateway.errors import GatewayError
from gateway.graph.document import NOT_JSON
from gateway.graph.sequence import is_filled_array
from gateway.graph.step import Node, Step
from gateway.message import UNPARSED, Request, Response

from .errors import RouterError, flattened
from .gojson import document


class KServeSequence(Node):
    """The last answer, whatever its status; a step without an answer ends the node, Soft or not, as a RouterError.

    A condition is tested on the previous answer, which must be JSON (else ``invalid response``; always so for the first
    step); unmet, the node answers 200 with the previous body, whatever its status was.
    """

    __slots__ = ()

    async def __call__(self, request: Request, /) -> Response:
        answer = Response(500, [])  # nothing yet: an empty body, which is no JSON
        for step in self.steps:
            try:
                if step.condition is not None and not _exists(step, answer):
                    return Response(200, answer.headers, answer.body, answer.document)
                step.in_time(request)
                answer = await step.call(_input(step, request, answer))
            except GatewayError as error:
                raise flattened(error, request).at(step.at)
            if step.hard and not answer.ok:
                break
        return answer


def _exists(step: Step, answer: Response) -> bool:
    found = document(answer)
    if found is NOT_JSON:
        raise RouterError("invalid response")
    return step.condition is None or step.condition(found)


def _input(step: Step, request: Request, answer: Response) -> Request:
    if step.use_response and step.index > 0:
        request = _with_body(request, answer.body, answer.document)
    return _mapped(request) if step.map_predictions else request


def _with_body(request: Request, body: bytes, document: object = UNPARSED) -> Request:
    """The client's headers stay, as in KServe, but for the coding that its body had and this one has not."""
    headers = [field for field in request.headers if field[0] != b"content-encoding"]
    return msgspec.structs.replace(request, headers=headers, body=body, document=document)


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _mapped(request: Request) -> Request:
    """``{"predictions": [...]}`` as ``{"instances": [...]}``, nothing else kept; any other body as it is."""
    try:
        members = _members(request.body)
    except (msgspec.DecodeError, RecursionError):
        return request
    predictions, instances = _member(members, "predictions"), _member(members, "instances")
    if not is_filled_array(predictions) or not instances.startswith((b"[", b"n")):
        return request
    return _with_body(request, b'{"instances":%b}' % predictions)


def _member(members: dict[str, msgspec.Raw], name: str) -> bytes:
    """Go matches keys in any case, to which a long s belongs; of several the last one counts. ``null`` for none."""
    found = b"null"
    for key, raw in members.items():
        if key.lower().replace("ſ", "s") == name:
            found = bytes(raw)
    return found
