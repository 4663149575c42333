"""The data plane in this process on real sockets: a stub model server, the gateway before it, and a client that adds
nothing to what it is told to send."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
from aiohttp import web
from aiohttp.test_utils import unused_port

from gateway.app import App
from gateway.compile import compile_app
from gateway.config.schema import Config
from gateway.http.listener import Server
from gateway.leases import Leases
from gateway.telemetry.access import Lines
from gateway.telemetry.journals import Journals
from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing.tracer import Tracer

Fields = list[tuple[str, str]]


class Call(NamedTuple):
    """What a stub was sent."""

    method: str
    target: str
    headers: Fields
    """Names in lower case."""
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key == name]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


Reply = bytes | Callable[[Call], bytes | web.Response | Awaitable[web.Response]]


class Stub:
    """A model server that keeps what it was sent; ``reply`` is 200 unless a web.Response says otherwise."""

    def __init__(self, reply: Reply) -> None:
        self.calls: list[Call] = []
        self.arrived = asyncio.Semaphore(0)
        """Released by every call."""
        self.cancelled = asyncio.Event()
        """Set once a caller has closed its connection before the answer."""
        self.url = ""
        self._reply = reply

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = [(name.lower().decode(), value.decode("latin-1")) for name, value in request.raw_headers]
        call = Call(request.method, request.raw_path, headers, await request.read())
        self.calls.append(call)
        self.arrived.release()
        try:
            reply = self._reply if isinstance(self._reply, bytes) else self._reply(call)
            return web.Response(body=reply) if isinstance(reply, bytes) else await _settled(reply)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    @property
    def bodies(self) -> list[bytes]:
        return [call.body for call in self.calls]


async def _settled(reply: web.Response | Awaitable[web.Response]) -> web.Response:
    return reply if isinstance(reply, web.Response) else await reply


@asynccontextmanager
async def stub(reply: Reply = b"{}", sock: socket.socket | None = None) -> AsyncIterator[Stub]:
    """A stub that listens; with ``sock``, from now on where that is bound, and refuses connections until then."""
    model = Stub(reply)
    runner = web.ServerRunner(
        web.Server(model, auto_decompress=False, handler_cancellation=True), access_log=None, shutdown_timeout=0.01
    )  # type: ignore[arg-type]
    await runner.setup()
    site = web.SockSite(runner, sock or socket.create_server(("127.0.0.1", 0)))
    await site.start()
    model.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield model
    finally:
        await runner.cleanup()


def after(seconds: float, reply: bytes = b"{}") -> Reply:
    """Answer so, that much later."""

    async def slowly(call: Call) -> web.Response:
        await asyncio.sleep(seconds)
        return web.Response(body=reply)

    return slowly


def status(code: int, body: bytes, content_type: str = "application/json", **headers: str) -> Reply:
    """Answer with that status."""
    return lambda call: web.Response(status=code, body=body, headers={"Content-Type": content_type} | headers)


class Answer(NamedTuple):
    """What a client got."""

    status: int
    headers: Fields
    """Names in lower case, but for those of the connection, and the date."""
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Port:
    """A port to send requests to."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def post(self, target: str, body: bytes = b"{}", *headers: tuple[str, str]) -> Answer:
        return await self.call("POST", target, body, headers)

    async def get(self, target: str, *headers: tuple[str, str]) -> Answer:
        return await self.call("GET", target, b"", headers)

    async def call(
        self, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
    ) -> Answer:
        """One request on a connection of its own. Raises EOFError when it is closed without an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        try:
            writer.write(request(method, target, body, headers))
            return _parsed(await reader.read())
        finally:
            writer.close()
            await writer.wait_closed()


def request(method: str, target: str, body: bytes, headers: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of a connection's last request."""
    fields = [("host", "gateway.test"), ("connection", "close"), ("content-length", str(len(body))), *headers]
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _parsed(data: bytes) -> Answer:
    if not data:
        raise EOFError
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    fields = [(name.lower(), value) for name, value in (field.split(": ", 1) for field in lines)]
    hidden = ("connection", "date", "content-length", "transfer-encoding")
    shown = [field for field in fields if field[0] not in hidden]
    return Answer(
        int(line.split(" ")[1]), shown, unchunked(body) if ("transfer-encoding", "chunked") in fields else body
    )


def unchunked(body: bytes) -> bytes:
    """What the chunks of a complete body hold."""
    found = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        assert body[length : length + 2] == b"\r\n", "the body is cut off"
        if not length:
            return found
        found, body = found + body[:length], body[length + 2 :]


class Running(Port):
    """The gateway, serving one configuration."""

    def __init__(
        self, number: int, server: Server, app: App, leases: Leases, registry: Registry, journals: Journals
    ) -> None:
        super().__init__(number)
        self._journals = journals
        self.server = server
        self.app = app
        self.leases = leases
        self.registry = registry

    def write_logs(self) -> None:
        """Have all lines of access logs written."""
        self.leases.hand_on()
        self._journals.flush()


@asynccontextmanager
async def serving(config: Config, tracer: Tracer | None = None) -> AsyncIterator[Running]:
    """``config`` served on a free port, whatever it says of addresses."""
    registry, journals = Registry.private(), Journals(Registry.private())

    def write(lines: Lines) -> bool:
        journals.write(lines)
        return True

    leases = Leases(tracer, write)
    app = compile_app(config, leases, registry)
    await app.open()
    app.begin()
    server = Server(config.server, registry)
    sock = socket.create_server(("127.0.0.1", 0))
    await server.start([sock], None)
    server.app = app
    try:
        yield Running(sock.getsockname()[1], server, app, leases, registry, journals)
    finally:
        await server.drain(0.0)
        await app.retire()
        await leases.close()
        journals.close()


def closed_port() -> str:
    """The URL of a port where nobody listens."""
    return f"http://127.0.0.1:{unused_port()}"
