"""A weighted reverse proxy the way one writes it with aiohttp: a server, a client session, and hop-by-hop care.

Usage: aiohttp_proxy.py PORT BACKEND_PORT=WEIGHT ...
"""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

HOP_BY_HOP = {
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class Proxy:
    def __init__(self, backends: list[tuple[str, int]]) -> None:
        self.urls = [url for url, _ in backends]
        self.weights = [weight for _, weight in backends]
        self.session: aiohttp.ClientSession

    async def client(self, app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self.session:
            yield

    async def forward(self, request: web.Request) -> web.Response:
        (url,) = random.choices(self.urls, self.weights)
        body = await request.read()
        async with self.session.request(
            request.method, url + request.path_qs, headers=end_to_end(request.headers), data=body, allow_redirects=False
        ) as answer:
            return web.Response(status=answer.status, headers=end_to_end(answer.headers), body=await answer.read())


def end_to_end(headers: aiohttp.typedefs.LooseHeaders) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


def main(port: str, *backends: str) -> None:
    pairs = [backend.split("=") for backend in backends]
    proxy = Proxy([(f"http://127.0.0.1:{port}", int(weight)) for port, weight in pairs])
    app = web.Application(client_max_size=64 << 20)
    app.cleanup_ctx.append(proxy.client)
    app.router.add_route("*", "/{path:.*}", proxy.forward)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None, loop=loop, backlog=4096)


if __name__ == "__main__":
    main(*sys.argv[1:])
