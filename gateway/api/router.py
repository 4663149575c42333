"""From a request's path and method to the service that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from urllib.parse import unquote_to_bytes

from gateway.errors import GraphNotFound, MethodNotAllowed
from gateway.message import Request, Response
from gateway.service import Service

from .face import Claim, Methods

_REMEMBERED = 1024


class Router:
    """Asks each API whose path it is; what no API claims goes to the default graph, with any method."""

    def __init__(self, apis: Sequence[Claim], default: Service | None) -> None:
        self._apis = tuple(apis)
        self._default = default
        self._known: dict[bytes, Methods] = {}

    def __call__(self, request: Request) -> Awaitable[Response]:
        methods = self._known.get(request.target)
        if methods is None:
            methods = self._find(request.target)
            if methods is None:
                if self._default is None:
                    raise GraphNotFound("no API has this path, and there is no default graph")
                return self._default(request)
        service = methods.get(request.method)
        if service is None:
            service = self._other_method(request, methods)
        return service(request)

    def _find(self, target: bytes) -> Methods | None:
        path = _path(target)
        for claims in self._apis:
            methods = claims(path)
            if methods is not None:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()  # someone tries many: let those that are asked often come back
                self._known[target] = methods
                return methods
        return None

    def _other_method(self, request: Request, methods: Methods) -> Service:
        if request.method == b"HEAD" and b"GET" in methods:
            return methods[b"GET"]
        allow = b", ".join(methods) + (b", HEAD" if b"GET" in methods else b"")
        raise MethodNotAllowed(f"{request.method.decode()} is not for this path", allow=allow)


def _path(target: bytes) -> str:
    """Decoded, without the query. An encoded slash stays encoded: it is part of a name, and separates none."""
    path = target.partition(b"?")[0].replace(b"%2F", b"%252F").replace(b"%2f", b"%252f")
    return unquote_to_bytes(path).decode("utf-8", "replace")
