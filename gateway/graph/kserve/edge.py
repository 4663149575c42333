"""The outermost layer of such a graph: answers and errors as KServe's router writes them."""

from __future__ import annotations

from gateway.errors import Abandoned, DeadlineExceeded, GatewayError
from gateway.message import Headers, Request, Response
from gateway.service import Service

from .errors import RouterError
from .gojson import string, valid
from .sniff import content_type

_JSON: Headers = [(b"content-type", b"application/json")]


class KServeEdge:
    """An answer has but one header, its Content-Type: application/json for valid JSON, else what its bytes look like.

    A GatewayError is answered with its status and ``{"error": ..., "cause": ...}``. Raises Abandoned when the graph's
    deadline has passed, for then KServe's router closes the connection without an answer.
    """

    __slots__ = ("_graph",)

    def __init__(self, graph: Service) -> None:
        self._graph = graph

    def __repr__(self) -> str:
        return f"KServeEdge({self._graph!r})"

    async def __call__(self, request: Request, /) -> Response:
        try:
            answer = await self._graph(request)
        except DeadlineExceeded as error:
            raise Abandoned(error.detail).at((error.node, error.step)) from None
        except Abandoned:
            raise
        except GatewayError as error:
            record = request.record
            # An error of the router's own often stands for one that says more.
            if record is not None and not (record.failure and type(error) is RouterError):
                record.failure = error.code
            return _rendered(error)
        return Response(answer.status, _headers(answer.body), answer.body, answer.document)


def _rendered(error: GatewayError) -> Response:
    cause = string(error.detail or error.title)
    return Response(error.status, list(_JSON), b'{"error":"Failed to process request","cause":%b}' % cause)


def _headers(body: bytes) -> Headers:
    if not body:
        return []
    return list(_JSON) if valid(body) else [(b"content-type", content_type(body))]
