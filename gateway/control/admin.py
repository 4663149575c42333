"""The admin site: health, metrics, the configuration, reload and drain. Never on the data port.

It has no users, so it must not be usable by a web page that its owner happens to look at: names that are not ours are
refused (DNS rebinding), and so are POSTs that a browser says come from another site.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from gateway.config.schema import Config
from gateway.telemetry.logs import LEVELS

from .redact import redacted
from .reload import Outcome

Clusters = Mapping[int, list[dict[str, object]] | None]


class Control(Protocol):
    """What the site shows and starts."""

    @property
    def config(self) -> Config: ...
    def checks(self) -> dict[str, bool]: ...
    def page(self, accept: str, /) -> tuple[bytes, str]: ...
    async def clusters(self) -> Clusters: ...
    async def reload(self) -> Outcome: ...
    def drain(self) -> None: ...
    def log_from(self, level: str, /) -> None: ...


INDEX = """<!doctype html><html lang="en"><meta charset="utf-8"><title>inference gateway</title>
<h1>Inference gateway</h1>
<ul>
<li><a href="/livez">/livez</a>: the process runs
<li><a href="/readyz?verbose">/readyz</a>: it takes requests
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/config">/config</a>: what is in use, secrets redacted (<a href="/config?format=yaml">YAML</a>)
<li><a href="/clusters">/clusters</a>: backends as each worker sees them (<a href="/clusters?format=json">JSON</a>)
</ul>
<form method="post" action="/-/reload"><button>Reload the configuration</button></form>
<form method="post" action="/-/drain"><button>Drain and exit</button></form>
</html>
"""


def site(control: Control) -> web.Application:
    """The admin site of ``control``."""
    app = web.Application(middlewares=[_guard(_host(control.config.admin.listen))])
    pages = Pages(control)
    app.add_routes(
        [
            web.get("/", pages.index),
            web.get("/livez", pages.livez),
            web.get("/readyz", pages.readyz),
            web.get("/metrics", pages.metrics),
            web.get("/config", pages.config),
            web.get("/clusters", pages.clusters),
            web.post("/-/reload", pages.reload),
            web.post("/-/drain", pages.drain),
            web.post("/logging", pages.logging),
        ]
    )
    return app


async def open_site(control: Control, sockets: Iterable[socket.socket]) -> web.AppRunner:
    """Serve the admin site on ``sockets``, until the runner's ``cleanup()``."""
    runner = web.AppRunner(site(control), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    for sock in sockets:
        await web.SockSite(runner, sock).start()
    return runner


class Pages:
    """One method a page."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def index(self, request: web.Request) -> web.Response:
        # Nobody may be tricked into pressing these buttons inside somebody else's page.
        return web.Response(text=INDEX, content_type="text/html", headers={"X-Frame-Options": "DENY"})

    async def livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """200 while new requests are welcome, else 503; ``?verbose`` says why, in Kubernetes' words."""
        checks = self._control.checks()
        ready = all(checks.values())
        text = "ok\n" if ready else "not ready\n"
        if "verbose" in request.query:
            lines = [f"[+]{name} ok\n" if good else f"[-]{name} failed\n" for name, good in checks.items()]
            text = "".join(lines) + f"readyz check {'passed' if ready else 'failed'}\n"
        return web.Response(text=text, status=200 if ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        # In a thread: a page of many series takes a while, in which the site shall answer others.
        body, content_type = await asyncio.to_thread(self._control.page, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def config(self, request: web.Request) -> web.Response:
        shown = redacted(self._control.config)
        if request.query.get("format") == "yaml" or "yaml" in request.headers.get("Accept", ""):
            return web.Response(text=_yaml(shown), content_type="application/yaml")
        return _json(shown)

    async def clusters(self, request: web.Request) -> web.Response:
        clusters = await self._control.clusters()
        if request.query.get("format") == "json":
            return _json([{"worker": slot, "clusters": found} for slot, found in clusters.items()])
        return web.Response(text=_table(clusters))

    async def reload(self, request: web.Request) -> web.Response:
        status, errors = await self._control.reload()
        return web.Response(text="".join(f"{line}\n" for line in errors) or "reloaded\n", status=status)

    async def drain(self, request: web.Request) -> web.Response:
        self._control.drain()
        return web.Response(text="draining\n", status=202)

    async def logging(self, request: web.Request) -> web.Response:
        """Until the restart; ``?level=``."""
        level = request.query.get("level", "")
        if level not in LEVELS:
            return web.Response(text=f"level: one of {', '.join(LEVELS)}\n", status=400)
        self._control.log_from(level)
        return web.Response(text=f"logging from {level}\n")


def _json(data: object) -> web.Response:
    body = msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"
    return web.Response(body=body, content_type="application/json")


def _yaml(data: Any) -> str:
    import yaml

    return yaml.safe_dump(data, sort_keys=False)


def _table(clusters: Clusters) -> str:
    """One line for each worker and endpoint, in columns; ``?`` for a worker that did not answer."""
    rows = [{"worker": slot, **row} for slot, found in clusters.items() for row in found or [{}]]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [columns] + [[str(row.get(column, "?")) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "".join(f"{line.rstrip()}\n" for line in lines)


Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _guard(own: str) -> Any:
    """Refuse what only a browser on somebody else's behalf would send; ``own`` is the host of ``admin.listen``."""

    @web.middleware
    async def guard(request: web.Request, handler: Page) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not _is_ours(host, own):
            return web.Response(text=f"not a name of this site: {host}\n", status=403)
        if request.method not in ("GET", "HEAD") and _is_foreign(request, host):
            return web.Response(text="cross-site request refused\n", status=403)
        return await handler(request)

    return guard


def _is_ours(host: str, own: str) -> bool:
    """An address cannot be rebound to another one; a name can, unless it is known to be ours."""
    name = _host(host)
    if name in ("", "localhost", own):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(request: web.Request, host: str) -> bool:
    """What browsers send along: Fetch Metadata, and before it Origin (RFC 6454 section 7)."""
    origin = request.headers.get("Origin")
    cross = request.headers.get("Sec-Fetch-Site") == "cross-site"
    return cross or (origin is not None and urlsplit(origin).netloc != host)


def _host(authority: str) -> str:
    """The host of ``host:port``, ``[v6]:port`` or ``host``, in lower case; nothing where there is none."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return authority
