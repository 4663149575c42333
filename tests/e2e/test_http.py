"""The gateway between raw clients and a raw backend: what gets through, and what does not."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.compile import compile_app
from gateway.config import schema
from gateway.http.listener import Server
from gateway.leases import Leases
from gateway.telemetry.metrics import Registry
from tests.http.test_requests import GET, POST, REFUSED, UPGRADE
from tests.support.raw import EMPTY, Backend, Conversation, Peer, answer_each, backend, connected, on_uvloop

pytestmark = pytest.mark.e2e

PREDICT = b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: a\r\n"


class Gateway:
    """Where the gateway listens, and the backend behind it."""

    def __init__(self, port: int, model: Backend) -> None:
        self.port = port
        self.model = model


@asynccontextmanager
async def gateway(
    conversation: Conversation = answer_each,
    make: Callable[[str], schema.Backend] = lambda url: schema.Backend(url=url, protocol="raw"),
    *,
    path: str = "",
    timeout: float = 5.0,
) -> AsyncIterator[Gateway]:
    """A gateway with one graph of one step."""
    async with backend(conversation, path=path) as model:
        leases, registry = Leases(), Registry.private()
        root = schema.Node(router_type="Sequence", steps=(schema.Step(backend="model", dependency="Hard"),))
        config = schema.Config(
            server=schema.Server(limits=schema.Limits(max_body_bytes=1 << 20)),
            backends={"model": make(model.url)},
            graphs={"iris": schema.Graph(nodes={"root": root}, timeout=timeout)},
        )
        server = Server(config.server, registry)
        server.app = compile_app(config, leases, registry)
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        await server.start([sock], None)
        try:
            yield Gateway(sock.getsockname()[1], model)
        finally:
            await server.drain(0.0)
            await leases.close()
            await asyncio.sleep(0.03)


def statuses(wire: bytes) -> list[int]:
    return [int(line[9:12]) for line in wire.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def status(head: bytes) -> int:
    return int(head.split()[1])


@pytest.mark.parametrize("case", REFUSED)
@on_uvloop
async def test_nothing_refused_ever_reaches_a_backend(case: str) -> None:
    expected, wire = REFUSED[case]
    async with gateway() as one, connected(one.port) as client:
        await client.say(wire)
        answer = await client.rest()  # to its end: the gateway closes
        assert statuses(answer) == [expected]
        assert b"\r\nconnection: close\r\n" in answer
        assert not one.model.peers


@pytest.mark.parametrize("case", REFUSED)
@on_uvloop
async def test_nor_what_stands_behind_it_in_the_same_breath(case: str) -> None:
    expected, wire = REFUSED[case]
    first = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"
    async with gateway() as one, connected(one.port) as client:
        await client.say(first)
        await client.message()
        await client.say(wire + b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
        assert statuses(await client.rest()) == [expected]
        assert b"evil" not in one.model.heard
        assert one.model.heard.count(b"HTTP/1.1") == 1


REWRITTEN = {
    "chunked": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nEvil: yes\r\n\r\n",
        b"POST /a HTTP/1.1\r\n",
        b"hello",
    ),
    "absolute target": (b"GET http://b/c?d HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /c?d HTTP/1.1\r\n", b""),
    "HTTP/1.0": (b"GET /a HTTP/1.0\r\nEvil: yes\r\n\r\n", b"GET /a HTTP/1.1\r\n", b""),
    "an upgrade with a request for a body": (
        POST + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(GET) + GET,
        b"POST /a HTTP/1.1\r\n",
        GET,
    ),
    "hop by hop": (
        b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: traceparent\r\ntraceparent: evil\r\nTE: evil\r\n"
        b"Keep-Alive: evil\r\nProxy-Authorization: evil\r\n\r\n",
        b"GET /a HTTP/1.1\r\n",
        b"",
    ),
}


@pytest.mark.parametrize("case", REWRITTEN)
@on_uvloop
async def test_what_is_passed_on_is_written_anew(case: str) -> None:
    wire, line, body = REWRITTEN[case]
    async with gateway() as one, connected(one.port) as client:
        await client.say(wire)
        assert status((await client.message())[0]) == 200
        heard = one.model.heard
        head, _, rest = heard.partition(b"\r\n\r\n")
        assert head.startswith(line)
        assert rest == body
        assert head.lower().count(b"\r\nhost: ") == 1
        assert head.lower().count(b"\r\ncontent-length: ") == (1 if body else 0)
        for word in (b"evil", b"transfer-encoding", b"upgrade", b"connection"):
            assert word not in head.lower()


BAD_ANSWERS = {
    "not HTTP": b"hello\r\n\r\n",
    "cut off": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
    "length and coding": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 S\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
@on_uvloop
async def test_a_bad_answer_is_a_502_of_our_own(case: str) -> None:
    async def bad(peer: Peer) -> None:
        await peer.message()
        await peer.say(BAD_ANSWERS[case])

    async with gateway(bad) as one, connected(one.port) as client:
        await client.say(GET)
        head, body = await client.message()
        assert status(head) == 502
        assert json.loads(body)["status"] == 502
        await client.say(GET)  # the client's connection is none the worse for it
        assert status((await client.message())[0]) == 502


BROKEN_OFF = {
    "in a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    "between chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n",
    "before its length": b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\nhel",
}


@pytest.mark.parametrize("case", BROKEN_OFF)
@on_uvloop
async def test_a_stream_that_breaks_off_ends_the_connection_and_never_looks_whole(case: str) -> None:
    async def bad(peer: Peer) -> None:
        await peer.message()
        await peer.say(BROKEN_OFF[case])

    async with gateway(bad) as one, connected(one.port) as client:
        await client.say(GET)
        assert status(await client.head()) == 200
        assert await client.rest() in (b"3\r\nhel\r\n", b"hel")


@on_uvloop
async def test_what_a_backend_says_behind_its_answer_reaches_nobody() -> None:
    async def talkative(peer: Peer) -> None:
        while (await peer.message())[0]:
            await peer.say(EMPTY + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

    async with gateway(talkative) as one, connected(one.port) as client:
        for _ in range(10):
            await client.say(GET)
            assert (await client.message())[1] == b""
        assert len(one.model.peers) == 10


@on_uvloop
async def test_headers_that_belong_to_the_backends_connection_stay_there() -> None:
    async def says(peer: Peer) -> None:
        await peer.message()
        await peer.say(
            b"HTTP/1.1 200 OK\r\nConnection: close, X-Evil\r\nX-Evil: 1\r\nX-Good: 1\r\nKeep-Alive: evil\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nEvil: 1\r\n\r\n"
        )

    async with gateway(says) as one, connected(one.port) as client:
        await client.say(GET)
        head, body = await client.message()
        assert body == b"hi"
        assert b"x-good: 1" in head
        assert b"evil" not in head
        assert b"connection" not in head


@on_uvloop
async def test_a_backend_that_is_not_there() -> None:
    nowhere = schema.Backend(url="unix:/nowhere.sock", protocol="raw")
    async with gateway(make=lambda url: nowhere) as one, connected(one.port) as client:
        await client.say(GET)
        head, body = await client.message()
        assert status(head) == 503
        assert b"retry-after: 1" in head
        assert json.loads(body)["code"] == "upstream_connect_failure"


@on_uvloop
async def test_a_deadline_is_kept_to_within_20_ms() -> None:
    async def silent(peer: Peer) -> None:
        await peer.message()
        await peer.rest()

    loop = asyncio.get_running_loop()
    async with gateway(silent, timeout=0.2) as one, connected(one.port) as client:
        before = loop.time()
        await client.say(GET)
        assert status((await client.message())[0]) == 504
        assert 0.19 < loop.time() - before < 0.3  # and a little for a busy machine


@on_uvloop
async def test_a_backend_on_a_unix_socket(tmp_path: Path) -> None:
    async with gateway(path=str(tmp_path / "model.sock")) as one, connected(one.port) as client:
        await client.say(GET)
        assert status((await client.message())[0]) == 200


@on_uvloop
async def test_a_client_that_goes_away_takes_its_call_along() -> None:
    heard, ended = asyncio.Event(), asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.message()
        heard.set()
        await peer.rest()
        ended.set()

    async with gateway(silent) as one, connected(one.port) as client:
        await client.say(PREDICT + b"Content-Length: 2\r\n\r\n{}")
        await heard.wait()
        await client.close()
        async with asyncio.timeout(0.5):
            await ended.wait()


@on_uvloop
async def test_expect_continue_all_the_way() -> None:
    async with gateway() as one, connected(one.port) as client:
        await client.say(GET + POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert status((await client.message())[0]) == 200
        assert status((await client.message())[0]) == 100
        await client.say(b"hello")
        assert status((await client.message())[0]) == 200
        assert one.model.heard.endswith(b"hello")
        assert b"expect" not in one.model.heard.lower()
