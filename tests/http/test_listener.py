"""With real sockets and the event loop of the real thing."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config import schema
from gateway.http.drive import Drive
from gateway.http.listener import Server
from gateway.http.requests import RequestReader
from gateway.http.server import ServerConnection
from gateway.http.tls import client_context, server_context
from gateway.telemetry.metrics import Registry
from tests.support.certificates import Authority, Files
from tests.support.raw import Peer, connected, on_uvloop
from tests.support.service import MockService, answer

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


class Served:
    """A Server that listens, and where."""

    def __init__(self, server: Server, registry: Registry, port: int) -> None:
        self.server = server
        self.registry = registry
        self.port = port

    @property
    def open(self) -> float:
        return self.registry.gauge("gateway_connections").value


@asynccontextmanager
async def served(
    service: MockService, config: schema.Server | None = None, *, path: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Served]:
    registry = Registry.private()
    server = Server(config or schema.Server(), registry)
    server.app = service
    sock = socket.socket(socket.AF_UNIX) if path else socket.socket()
    sock.bind(path or ("127.0.0.1", 0))
    port = 0 if path else sock.getsockname()[1]
    await server.start([sock], tls)
    try:
        yield Served(server, registry, port)
    finally:
        await server.drain(0.0)
        await asyncio.sleep(0.001)


async def ask(peer: Peer, wire: bytes = GET) -> bytes:
    """The status line of the answer."""
    await peer.say(wire)
    head, _ = await peer.message()
    return head.partition(b"\r\n")[0]


@on_uvloop
async def test_a_unix_socket(tmp_path: Path) -> None:
    service = MockService().always(answer(b"hi"))
    path = str(tmp_path / "gateway.sock")
    async with served(service, path=path), connected(path=path) as client:
        assert await ask(client) == b"http/1.1 200 ok"
    assert service.requests[0].peer == b""


@on_uvloop
async def test_a_client_that_left_a_unix_socket_cancels_its_call(tmp_path: Path) -> None:
    service = MockService().hangs()
    path = str(tmp_path / "gateway.sock")
    async with served(service, path=path), connected(path=path) as client:
        await client.say(GET)
        await asyncio.sleep(0.02)
        await client.close()
        await gone(service)


async def gone(service: MockService) -> None:
    """Wait until a call was cancelled: some 100 ms, and a little for a busy machine."""
    before = time.monotonic()
    async with asyncio.timeout(2.0):
        while not service.cancelled:  # noqa: ASYNC110 the gateway tells nobody
            await asyncio.sleep(0.005)
    assert time.monotonic() - before < 0.3


class TestAClientThatGoesAway:
    @on_uvloop
    async def test_with_a_reset(self) -> None:
        service = MockService().hangs()
        async with served(service) as gateway, connected(gateway.port) as client:
            await client.say(GET)
            await asyncio.sleep(0.02)
            client.reset()
            await gone(service)

    @on_uvloop
    async def test_with_a_plain_close(self) -> None:
        service = MockService().hangs()
        async with served(service) as gateway, connected(gateway.port) as client:
            await client.say(GET)
            await asyncio.sleep(0.02)
            await client.close()
            await gone(service)

    @on_uvloop
    async def test_over_tls(self, authority: Authority, files: Files) -> None:
        service = MockService().hangs()
        tls = server_context(schema.ServerTls(cert_file=files.certificate, key_file=files.key))
        trust = client_context(schema.BackendTls(ca_file=authority.file))
        async with served(service, tls=tls) as gateway, connected(gateway.port, tls=trust) as client:
            await client.say(GET)
            await asyncio.sleep(0.05)
            await client.close()
            await gone(service)

    @on_uvloop
    async def test_but_a_half_closed_one_gets_its_answer(self) -> None:
        service = MockService().answers(b"slow", after=0.3)
        async with served(service) as gateway, connected(gateway.port) as client:
            await client.say(GET)
            client.shut_down()
            interim, _, final = (await client.rest()).partition(b"\r\n\r\n")
            assert interim == b"HTTP/1.1 100 Continue"
            assert final.startswith(b"HTTP/1.1 200 OK\r\n")
            assert final.endswith(b"\r\n\r\nslow")


@on_uvloop
async def test_a_refused_client_that_goes_on_sending_can_read_why() -> None:
    async with served(MockService()) as gateway, connected(gateway.port) as client:
        await client.say(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n")
        for _ in range(50):
            await client.say(b"x" * 100_000)
            await asyncio.sleep(0)
        assert (await client.rest()).startswith(b"HTTP/1.1 413 ")


@on_uvloop
async def test_a_client_that_does_not_read_holds_one_answer() -> None:
    service = MockService().always(answer(b"x" * (16 << 20)))
    async with served(service) as gateway, connected(gateway.port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.say(GET * 50)
        await asyncio.sleep(0.2)
        assert len(service.requests) <= 2


@on_uvloop
async def test_connections_are_counted() -> None:
    async with served(MockService()) as gateway:
        async with connected(gateway.port) as client:
            await client.say(b"NONSENSE\r\n\r\n")
            await client.rest()
            assert gateway.open == 1
        await asyncio.sleep(0.02)
        assert gateway.open == 0
        assert gateway.registry.counter("gateway_connections_accepted_total").value == 1
        assert gateway.registry.counter("gateway_bad_requests_total", code="400").value == 1


@on_uvloop
async def test_new_limits_hold_for_new_connections() -> None:
    async with served(MockService().always(answer())) as gateway, connected(gateway.port) as old:
        await ask(old)
        gateway.server.configure(schema.Server(limits=schema.Limits(max_header_bytes=30)))
        assert b" 200 " in await ask(old)
        async with connected(gateway.port) as new:
            assert b" 431 " in await ask(new, b"GET /a HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 50))


@on_uvloop
async def test_before_the_first_configuration() -> None:
    async with served(MockService()) as gateway, connected(gateway.port) as client:
        gateway.server.app = Server(schema.Server(), Registry.private()).app
        await client.say(GET)
        assert await client.rest() == b""


class TestDrain:
    @on_uvloop
    async def test_what_is_in_flight_is_finished(self) -> None:
        service = MockService().answers(b"idle").answers(b"slow", after=0.2)
        async with served(service) as gateway, connected(gateway.port) as busy, connected(gateway.port) as idle:
            await ask(idle)
            await busy.say(GET)
            await asyncio.sleep(0.02)
            draining = asyncio.create_task(gateway.server.drain(5.0))
            assert await idle.rest() == b""
            assert not draining.done()
            last = await busy.rest()
            assert b"connection: close\r\n" in last
            assert last.endswith(b"slow")
            assert await draining
            with pytest.raises(OSError):
                async with connected(gateway.port):
                    pass

    @on_uvloop
    async def test_who_has_just_come_in_is_answered(self) -> None:
        service = MockService().answers(b"new").answers(b"kept")
        async with served(service) as gateway, connected(gateway.port) as new, connected(gateway.port) as kept:
            draining = asyncio.create_task(gateway.server.drain(5.0))
            await asyncio.sleep(0.1)
            for client, body in ((new, b"new"), (kept, b"kept")):
                await client.say(GET)
                last = await client.rest()
                assert b"connection: close\r\n" in last
                assert last.endswith(body)
            assert await draining

    @on_uvloop
    async def test_but_not_for_ever(self) -> None:
        service = MockService().hangs()
        async with served(service) as gateway, connected(gateway.port) as client:
            await client.say(GET)
            await asyncio.sleep(0.02)
            assert not await gateway.server.drain(0.1)
            assert await client.rest() == b""
        assert service.cancelled == 1


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> Files:
    return authority.sign("localhost")


class TestTls:
    @on_uvloop
    async def test_requests_over_it(self, authority: Authority, files: Files) -> None:
        tls = server_context(schema.ServerTls(cert_file=files.certificate, key_file=files.key))
        trust = client_context(schema.BackendTls(ca_file=authority.file))
        service = MockService().always(answer(b"x" * 300_000))
        async with served(service, tls=tls) as gateway, connected(gateway.port, tls=trust) as client:
            await client.say(GET + GET)
            for _ in range(2):
                assert len((await client.message())[1]) == 300_000

    @on_uvloop
    async def test_a_refusal_can_be_read(self, authority: Authority, files: Files) -> None:
        tls = server_context(schema.ServerTls(cert_file=files.certificate, key_file=files.key))
        trust = client_context(schema.BackendTls(ca_file=authority.file))
        async with served(MockService(), tls=tls) as gateway, connected(gateway.port, tls=trust) as client:
            await client.say(b"NONSENSE\r\n\r\n" + b"x" * 100_000)
            assert b" 400 " in (await client.message())[0]

    @pytest.mark.parametrize("known", [True, False])
    @on_uvloop
    async def test_client_certificates(self, authority: Authority, files: Files, tmp_path: Path, known: bool) -> None:
        tls = server_context(
            schema.ServerTls(cert_file=files.certificate, key_file=files.key, client_ca_file=authority.file)
        )
        mine = authority.sign("client") if known else Authority(tmp_path, "stranger").sign("client")
        trust = client_context(schema.BackendTls(ca_file=authority.file, cert_file=mine.certificate, key_file=mine.key))
        service = MockService().always(answer())
        async with served(service, tls=tls) as gateway:
            try:
                async with connected(gateway.port, tls=trust) as client:
                    assert b" 200 " in await ask(client)
            except (OSError, AssertionError):
                assert not known
            assert len(service.requests) == known

    @on_uvloop
    async def test_a_handshake_must_end_in_time(self, files: Files) -> None:
        tls = server_context(schema.ServerTls(cert_file=files.certificate, key_file=files.key))
        config = schema.Server(timeouts=schema.ServerTimeouts(header=0.1))
        async with served(MockService(), config, tls=tls) as gateway, connected(gateway.port) as client:
            async with asyncio.timeout(1.0):
                assert await client.rest() == b""


@on_uvloop
async def test_a_closed_connection_is_freed_without_the_garbage_collector() -> None:
    def alive() -> int:
        return sum(isinstance(one, (ServerConnection, RequestReader, Drive)) for one in gc.get_objects())

    service = MockService().always(answer(b"hi"))
    gc.collect()
    gc.disable()
    try:
        async with served(service) as gateway:
            for wire in (GET, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b"no HTTP\r\n\r\n"):
                async with connected(gateway.port) as client:
                    await client.say(wire)
                    await client.message()
            async with connected(gateway.port) as client:
                await client.say(GET[:10])
            await asyncio.sleep(0.1)
            assert gateway.open == 0
            assert alive() == 0
    finally:
        gc.enable()
