"""What the two model servers share: their port, their JSON and the shape of their errors."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from .models import BadInput, Classifier

MODELS: web.AppKey[dict[str, Classifier]] = web.AppKey("models")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(models: dict[str, Classifier], routes: list[web.RouteDef]) -> web.Application:
    """A model server of ``routes`` whose every failure is ``{"error": "<text>"}``."""
    app = web.Application(middlewares=[_errors])
    app[MODELS] = models
    app.add_routes(routes)
    return app


def model(request: web.Request) -> Classifier:
    """The model that the path names. Raises HTTPNotFound."""
    name = request.match_info["model"]
    try:
        return request.app[MODELS][name]
    except KeyError:
        raise web.HTTPNotFound(text=f"Model with name {name} does not exist.") from None


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object, whatever its content type: ``curl -d`` calls it a form. Raises BadInput."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadInput("the body is not a JSON object")
    return body


@asynccontextmanager
async def serving(app: web.Application, port: int) -> AsyncIterator[str]:
    """Serve ``app`` on loopback, at ``port`` or, where that is taken, at any free one. Yields the URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.SockSite(runner, _listener(port))
        await site.start()
        yield "http://{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return socket.create_server(("127.0.0.1", 0))


@web.middleware
async def _errors(request: web.Request, handler: Answer) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadInput as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        return web.json_response({"error": error.text}, status=error.status)
