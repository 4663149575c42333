"""In an Istio mesh the sidecar encrypts: KServe's router then calls ``https`` URLs with ``http``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.errors import GatewayError
from gateway.message import Request, Response
from gateway.service import Service, spawn

log = logging.getLogger("gateway")

_PORT = 15000
"""Where the sidecar has its admin site."""

_PATIENCE = 3.0
"""Seconds that it has to answer."""

Way = tuple[Service, Callable[[], Awaitable[bool]]]
"""A service, and whether it can be reached."""


class Mesh:
    """Whether there is a sidecar; asked when somebody wants to know, and only once."""

    def __init__(self, port: int = _PORT) -> None:
        self._port = port
        self._asked: asyncio.Task[bool] | None = None

    async def here(self) -> bool:
        """True when ``GET http://localhost:15000`` answered 200."""
        if self._asked is None:
            self._asked = spawn(self._ask(), "istio sidecar", awaited=True)
        return self._asked.result() if self._asked.done() else await asyncio.shield(self._asked)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await _status_line(self._port)
        except (OSError, TimeoutError, ValueError):
            return False
        found = line.startswith(b"HTTP/1.") and line[8:13] == b" 200 "
        if found:
            log.info("an Istio sidecar answers on localhost:%d: KServe's https URLs are called with http", self._port)
        return found


async def _status_line(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("localhost", port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost:%d\r\nconnection: close\r\n\r\n" % port)
        return await reader.readline()
    finally:
        writer.close()


class Sidecar:
    """Calls ``plain`` in a mesh, at ``url``, and ``encrypted`` elsewhere."""

    def __init__(self, mesh: Mesh, encrypted: Way, plain: Way, url: str) -> None:
        self._mesh = mesh
        self._encrypted = encrypted
        self._plain = plain
        self._url = url

    async def __call__(self, request: Request, /) -> Response:
        if not await self._mesh.here():
            return await self._encrypted[0](request)
        try:
            return await self._plain[0](request)
        except GatewayError as error:
            error.url = error.url or self._url
            raise

    async def reachable(self) -> bool:
        """Whether the one that would be called is."""
        return await (self._plain if await self._mesh.here() else self._encrypted)[1]()
