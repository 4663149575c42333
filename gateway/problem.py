"""GatewayErrors as answers: ``application/problem+json`` (RFC 9457), with the ``error`` string that v1, v2 and OpenAI
clients look for."""

from __future__ import annotations

import orjson

from .errors import GatewayError, MethodNotAllowed
from .message import Headers, Response

TYPE_BASE = "urn:inference-gateway:error:"


def problem(error: GatewayError, request_id: bytes = b"", status: int | None = None) -> Response:
    """The answer for ``error``, with the members code, graph, node, step, requestId and error; empty ones left out.

    ``status`` in place of the one that errors of its kind have.
    """
    status = status or error.status
    # A file name in it need not be UTF-8, JSON must.
    detail = (error.detail or error.title).encode(errors="replace").decode()
    body: dict[str, object] = {
        "type": TYPE_BASE + error.code,
        "title": error.title,
        "status": status,
        "detail": detail,
        "code": error.code,
        "graph": error.graph,
        "node": error.node,
        "step": error.step,
        "requestId": request_id.decode("ascii", "replace"),
        "error": detail,
    }
    headers: Headers = [(b"content-type", b"application/problem+json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow))
    return Response(status, headers, orjson.dumps({key: value for key, value in body.items() if value != ""}))
