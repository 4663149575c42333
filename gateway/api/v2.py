"""The Open Inference Protocol (v2), REST.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import orjson

from gateway import __version__
from gateway.message import Request, Response
from gateway.service import Service

from .face import Face, Methods, fixed, json_answer, nothing

_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer))?")

_SERVER = {
    "name": "inference-gateway",
    "version": __version__,
    "extensions": ["binary_tensor_data", "model_repository"],
}


class V2:
    """``/v2``, its health and its models, ``/v2/repository/index``."""

    def __init__(self, faces: Sequence[Face], serving: Callable[[], bool]) -> None:
        spoken = [face for face in faces if face.v2]
        self._server: dict[str, Methods] = {
            "/v2": {b"GET": fixed(_SERVER)},
            "/v2/health/live": {b"GET": fixed({"live": True})},
            "/v2/health/ready": {b"GET": _server_ready(faces, serving)},
            "/v2/models": {b"GET": fixed({"models": [face.name for face in spoken]})},
            "/v2/repository/index": {b"POST": _index(spoken)},
        }
        self._verbs = {face.name: _verbs(face) for face in spoken}
        self._others = {face.name for face in faces if not face.v2}

    def __call__(self, path: str, /) -> Methods | None:
        found = self._server.get(path.rstrip("/"))
        if found is not None:
            return found
        match = _MODEL.fullmatch(path)
        if match is None:
            return None
        name, _, verb = match.groups()
        if name in self._verbs:
            return self._verbs[name][verb]
        if name in self._others:
            return nothing(f"graph {name} speaks v1: POST /v1/models/{name}:predict")
        return nothing(f"there is no graph named {name}")


def _verbs(face: Face) -> dict[str | None, Methods]:
    return {
        None: {b"GET": _metadata(face)},
        "ready": {b"GET": _model_ready(face)},
        "infer": {b"POST": face.service},
    }


def _server_ready(faces: Sequence[Face], serving: Callable[[], bool]) -> Service:
    """Ready while this process serves and at least one graph can answer."""

    async def answer(request: Request) -> Response:
        ready = False
        if serving():
            for face in faces:
                if ready := await face.ready():
                    break
        return json_answer({"ready": ready}, 200 if ready else 503)

    return answer


def _model_ready(face: Face) -> Service:
    async def answer(request: Request) -> Response:
        ready = await face.ready()
        return json_answer({"name": face.name, "ready": ready}, 200 if ready else 503)

    return answer


def _index(faces: Sequence[Face]) -> Service:
    """The model repository extension's index: every graph and its state."""

    async def answer(request: Request) -> Response:
        rows = []
        for face in faces:
            ready = await face.ready()
            reason = "" if ready else "no backend that it needs can be reached"
            rows.append(
                {"name": face.name, "version": "", "state": "READY" if ready else "UNAVAILABLE", "reason": reason}
            )
        return json_answer(rows)

    return answer


def _metadata(face: Face) -> Service:
    """The backend's metadata under the graph's name, or what little the gateway knows itself."""
    known = {"name": face.name, "versions": [], "platform": "inference-gateway", "inputs": [], "outputs": []}
    if face.metadata is None:
        return fixed(known)
    ask = face.metadata

    async def answer(request: Request) -> Response:
        response = await ask(request)
        if not response.ok:
            return response
        try:
            described = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return json_answer(known)
        return json_answer(described | {"name": face.name} if isinstance(described, dict) else known)

    return answer
