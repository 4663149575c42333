"""What the APIs need to know of a graph, and the small answers that they give themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
import orjson

from gateway.errors import GraphNotFound
from gateway.message import Request, Response
from gateway.service import Service

Methods = Mapping[bytes, Service]
"""The services of one path, by method. GET serves HEAD too."""


class Face(msgspec.Struct, frozen=True):
    """A graph as clients see it."""

    name: str
    service: Service
    ready: Callable[[], Awaitable[bool]]
    """Whether the backends that it needs can be reached."""
    v1: bool
    v2: bool
    explain: Service | None = None
    metadata: Service | None = None
    """Answers with the v2 metadata of a backend; None where no backend has any."""


class Claim(Protocol):
    """An API: the path of a request (decoded, without query) to its services; None: not this API's path."""

    def __call__(self, path: str, /) -> Methods | None: ...


def json_answer(value: object, status: int = 200) -> Response:
    """``value`` as an ``application/json`` answer."""
    return Response(status, [(b"content-type", b"application/json")], orjson.dumps(value))


def fixed(value: object) -> Service:
    """A service that always answers ``value``."""

    async def answer(request: Request) -> Response:
        return json_answer(value)

    return answer


def missing(detail: str) -> Service:
    """A service that answers 404."""

    async def answer(request: Request) -> Response:
        raise GraphNotFound(detail)

    return answer


def nothing(detail: str) -> Methods:
    """404 whatever the method."""
    service = missing(detail)
    return dict.fromkeys((b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"), service)
