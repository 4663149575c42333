"""The v1 protocol of TensorFlow Serving and KServe.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.message import Request, Response
from gateway.service import Service

from .face import Face, Methods, fixed, json_answer, nothing

_MODEL = re.compile(r"/v1/models/([^/]+?)(?:/versions/[^/:]+)?(?::(predict|explain))?")


class V1:
    """``/v1/models``, ``/v1/models/NAME`` and its verbs ``:predict`` and ``:explain``, with ``/versions/V`` too."""

    def __init__(self, faces: Sequence[Face]) -> None:
        names = [face.name for face in faces if face.v1]
        self._list: Methods = {b"GET": fixed({"models": names})}
        self._verbs = {face.name: _verbs(face) for face in faces if face.v1}
        self._others = {face.name for face in faces if not face.v1}

    def __call__(self, path: str, /) -> Methods | None:
        if path.rstrip("/") == "/v1/models":
            return self._list
        match = _MODEL.fullmatch(path)
        if match is None:
            return None
        name, verb = match.groups()
        if name in self._verbs:
            return self._verbs[name][verb]
        if name in self._others:
            return nothing(f"graph {name} speaks v2: POST /v2/models/{name}/infer")
        return nothing(f"there is no graph named {name}")


def _verbs(face: Face) -> dict[str | None, Methods]:
    explain = {b"POST": face.explain} if face.explain else nothing(f"graph {face.name} has no explainer")
    return {None: {b"GET": _readiness(face)}, "predict": {b"POST": face.service}, "explain": explain}


def _readiness(face: Face) -> Service:
    async def answer(request: Request) -> Response:
        ready = await face.ready()
        return json_answer({"name": face.name, "ready": ready}, 200 if ready else 503)

    return answer
