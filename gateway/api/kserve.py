"""The HTTP surface of KServe's router: ``/readyz``, and every other path, with any method, is the graph."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from posixpath import normpath

from gateway.message import Request, Response
from gateway.service import Service


class KServeRouter:
    """Takes the place of KServe's router binary; Go's mux sends unclean paths elsewhere, so this does too."""

    def __init__(self, graph: Service, serving: Callable[[], bool]) -> None:
        self._graph = graph
        self._serving = serving

    def __call__(self, request: Request) -> Awaitable[Response]:
        path, mark, query = request.target.partition(b"?")
        if path == b"/readyz":
            return self._readyz()
        clean = _clean(path)
        if clean != path:
            return _moved(clean + mark + query)
        return self._graph(request)

    async def _readyz(self) -> Response:
        if self._serving():
            return Response(200, [])
        return Response(503, [(b"content-type", b"text/plain; charset=utf-8")], b"shutting down\n")


def _clean(path: bytes) -> bytes:
    """Go's path.Clean, with the trailing slash kept."""
    if path == b"*" or not (b"//" in path or b"/." in path):
        return path
    clean = b"/" + normpath(path).lstrip(b"/")
    return clean + b"/" if path.endswith(b"/") and clean != b"/" else clean


async def _moved(location: bytes) -> Response:
    return Response(301, [(b"location", location)])
