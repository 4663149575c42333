"""Model servers that answer with what they are asked, by a JSON reader of their own that keeps numbers as they are."""

from __future__ import annotations

import json
from typing import Any

from gateway.message import Request, Response, header

JSON_LENGTH = b"inference-header-content-length"


class Number(str):
    """A number as it is written."""


def loads(text: bytes) -> Any:
    """JSON whose numbers are Numbers."""
    return json.loads(text, parse_float=Number, parse_int=Number)


def dumps(value: Any, space: str = "") -> bytes:
    """JSON with ``space`` wherever some may be."""
    return _written(value, space).encode()


def _written(value: Any, space: str) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        inside = ",".join(f"{space}{json.dumps(k)}{space}:{space}{_written(v, space)}{space}" for k, v in value.items())
        return f"{{{inside or space}}}"
    if isinstance(value, list):
        inside = ",".join(f"{space}{_written(v, space)}{space}" for v in value)
        return f"[{inside or space}]"
    return json.dumps(value, ensure_ascii=False)


def v1(request: Request) -> Response:
    """Predicts its input."""
    names = {"instances": "predictions", "inputs": "outputs", "examples": "results"}
    asked = loads(request.body)
    return Response(200, [], dumps({names[name]: asked[name] for name in names if name in asked}))


def v2(request: Request) -> Response:
    """Its outputs are its inputs, and it has the binary ones follow as they came."""
    end = header(request.headers, JSON_LENGTH)
    body = request.body if end is None else request.body[: int(end)]
    asked = loads(body)
    json = dumps({"model_name": "echo", "id": asked["id"], "outputs": asked["inputs"]})
    headers = [] if end is None else [(JSON_LENGTH, b"%d" % len(json))]
    return Response(200, headers, json + request.body[len(body) :])
