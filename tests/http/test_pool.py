"""With real sockets and the event loop of the real thing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from math import inf
from pathlib import Path

import pytest

from gateway.config import schema
from gateway.errors import (
    UpstreamConnectFailure,
    UpstreamOverflow,
    UpstreamProtocolError,
    UpstreamReset,
    UpstreamTimeout,
)
from gateway.http import pool as pools
from gateway.http.client import ClientConnection
from gateway.http.origin import split
from gateway.http.pool import Pool, Sweeper
from gateway.http.responses import ResponseReader
from gateway.http.tls import client_context, server_context
from gateway.message import Response
from gateway.telemetry.metrics import Registry
from tests.http.test_client import MockPool
from tests.support.certificates import Authority
from tests.support.clock import virtual
from tests.support.raw import EMPTY, Peer, backend, on_uvloop
from tests.support.service import ask


def swept(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Decorates an ``async def`` test, whose last argument becomes a Sweeper: it runs on uvloop and cleans up."""

    async def cleanly(*args: object, **kwargs: object) -> None:
        sweeper = Sweeper(asyncio.get_running_loop())
        try:
            await test(*args, **kwargs, sweeper=sweeper)
        finally:
            for pool in list(sweeper.pools):
                for busy in list(pool.busy):
                    busy.expire()
                pool.close()
            await asyncio.sleep(0.001)

    sync = on_uvloop(functools.wraps(test)(cleanly))
    signature = inspect.signature(test)
    fixtures = [one for name, one in signature.parameters.items() if name != "sweeper"]
    sync.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
    return sync


def make(sweeper: Sweeper, url: str, tls: schema.BackendTls | None = None) -> Pool:
    origin, _ = split(url)
    name = tls.server_name if tls else None
    context = client_context(tls) if origin.tls else None
    return Pool(origin, sweeper, Registry.private(), "backend", tls=context, server_name=name)


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@swept
async def test_connections_are_kept_and_the_last_one_used_is_used_first(sweeper: Sweeper) -> None:
    async with backend() as model:
        pool = make(sweeper, model.url)
        for _ in range(5):
            assert (await pool(ask(b"hi", deadline=soon()))).status == 200
        assert len(model.peers) == 1
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(_call(pool))
        assert len(model.peers) == 3
        assert pool.describe() == {"backend": "backend", "url": model.url, "active": 0, "idle": 3}


async def _call(pool: Pool) -> Response:
    return await pool(ask(deadline=soon()))


@swept
async def test_a_large_body_both_ways(sweeper: Sweeper) -> None:
    async def echo(peer: Peer) -> None:
        while (message := await peer.message())[0]:
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(message[1]) + message[1])

    async with backend(echo) as model:
        pool = make(sweeper, model.url)
        body = bytes(range(256)) * (16 << 10)
        for _ in range(2):
            assert (await pool(ask(body, deadline=soon()))).body == body


@swept
async def test_a_unix_socket(sweeper: Sweeper, tmp_path: Path) -> None:
    async with backend(path=str(tmp_path / "model.sock")) as model:
        pool = make(sweeper, model.url)
        assert (await pool(ask(deadline=soon()))).status == 200
        assert b"host: localhost\r\n" in model.heard


@swept
async def test_a_backend_that_closed_an_idle_connection(sweeper: Sweeper) -> None:
    async def once(peer: Peer) -> None:
        await peer.message()
        await peer.say(EMPTY)

    async with backend(once) as model:
        pool = make(sweeper, model.url)
        for _ in range(20):
            assert (await pool(ask(deadline=soon()))).status == 200


@swept
async def test_a_backend_that_closes_just_when_the_request_arrives(sweeper: Sweeper) -> None:
    async def answers_one_and_hears_one(peer: Peer) -> None:
        await peer.message()
        await peer.say(EMPTY)
        await peer.message()

    async with backend(answers_one_and_hears_one) as model:
        pool = make(sweeper, model.url)
        assert (await pool(ask(deadline=soon()))).status == 200
        assert (await pool(ask(deadline=soon()))).status == 200
        assert len(model.peers) == 2


@pytest.mark.parametrize("reset", [True, False])
@swept
async def test_a_backend_that_never_says_a_word(sweeper: Sweeper, reset: bool) -> None:
    async def leaves(peer: Peer) -> None:
        await peer.message()
        if reset:
            peer.reset()

    async with backend(leaves) as model:
        pool = make(sweeper, model.url)
        with pytest.raises(UpstreamReset):
            await pool(ask(deadline=soon()))
        assert len(model.peers) == 1


@swept
async def test_a_backend_that_does_not_answer_in_time(sweeper: Sweeper) -> None:
    ended = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.message()
        await peer.rest()
        ended.set()

    async with backend(silent) as model:
        pool = make(sweeper, model.url)
        before = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            await pool(ask(deadline=soon(0.1)))
        # Late by 20 ms at most, and a little for a busy machine; uvloop's clock counts whole milliseconds.
        assert 0.09 < time.monotonic() - before < 0.2
        await ended.wait()


@swept
async def test_a_caller_that_goes_away_ends_the_call(sweeper: Sweeper) -> None:
    heard, ended = asyncio.Event(), asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.message()
        heard.set()
        await peer.rest()
        ended.set()

    async with backend(silent) as model:
        call = asyncio.create_task(_call(make(sweeper, model.url)))
        await heard.wait()
        call.cancel()
        async with asyncio.timeout(0.5):
            await ended.wait()


@pytest.mark.parametrize("host", ["127.0.0.1", "a..b", "x" * 300])
@swept
async def test_where_nobody_can_be_reached(sweeper: Sweeper, host: str) -> None:
    pool = make(sweeper, f"http://{host}:{unused_port()}")
    with pytest.raises(UpstreamConnectFailure) as caught:
        await pool(ask(deadline=soon()))
    assert caught.value.retry_after == 1
    assert not await pool.reachable()


@swept
async def test_a_unix_socket_that_is_not_there(sweeper: Sweeper, tmp_path: Path) -> None:
    with pytest.raises(UpstreamConnectFailure):
        await make(sweeper, f"unix:{tmp_path}/model.sock")(ask(deadline=soon()))


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a port that accepts no further connection: its backlog is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@swept
async def test_a_connection_that_takes_too_long(sweeper: Sweeper, deaf: str) -> None:
    pool = make(sweeper, deaf)
    pool.connect_timeout = 0.05
    with pytest.raises(UpstreamConnectFailure):
        await pool(ask(deadline=soon()))


@pytest.mark.parametrize("limit", [5.0, 0.0])
@swept
async def test_a_deadline_that_comes_before_the_connection(sweeper: Sweeper, deaf: str, limit: float) -> None:
    pool = make(sweeper, deaf)
    pool.connect_timeout = limit
    with pytest.raises(UpstreamTimeout):
        await pool(ask(deadline=soon(0.05)))


@swept
async def test_no_limit_at_all(sweeper: Sweeper) -> None:
    async with backend() as model:
        pool = make(sweeper, model.url)
        pool.connect_timeout = 0.0
        assert (await pool(ask(deadline=inf))).status == 200


@swept
async def test_a_closed_pool_lets_its_last_calls_end_and_keeps_their_deadlines(sweeper: Sweeper) -> None:
    heard, go_on = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.message()
        heard.set()
        await go_on.wait()
        await peer.say(EMPTY)
        await peer.rest()

    async with backend(slow) as model:
        pool = make(sweeper, model.url)
        call = asyncio.create_task(_call(pool))
        await heard.wait()
        pool.close()
        go_on.set()
        assert (await call).status == 200
        assert pool not in sweeper.pools

        go_on.clear()
        heard.clear()
        pool = make(sweeper, model.url)
        late = asyncio.ensure_future(pool(ask(deadline=soon(0.1))))  # type: ignore[arg-type]
        await heard.wait()
        pool.close()
        with pytest.raises(UpstreamTimeout):
            await late
        assert pool not in sweeper.pools


@swept
async def test_so_many_connections_and_no_more(sweeper: Sweeper) -> None:
    heard, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow(peer: Peer) -> None:
        while (await peer.message())[0]:
            heard.release()
            await go_on.wait()
            await peer.say(EMPTY)

    async with backend(slow) as model:
        pool = make(sweeper, model.url)
        pool.max_connections = 2
        calls = [asyncio.create_task(_call(pool)) for _ in range(2)]
        for _ in range(2):
            await asyncio.sleep(0)
        with pytest.raises(UpstreamOverflow) as caught:
            await _call(pool)  # though both are only being opened
        assert caught.value.retry_after == 1
        for _ in calls:
            await heard.acquire()
        with pytest.raises(UpstreamOverflow):
            await _call(pool)
        assert not await pool.reach()
        go_on.set()
        assert [(await call).status for call in calls] == [200, 200]
        assert (await _call(pool)).status == 200
        assert len(model.peers) == 2
        pool.max_connections = 0
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(_call(pool))
        assert len(model.peers) == 3


@swept
async def test_what_was_lost_or_never_made_makes_room(sweeper: Sweeper) -> None:
    async def rude(peer: Peer) -> None:
        await peer.message()
        peer.reset()

    async with backend(rude) as model:
        pool = make(sweeper, model.url)
        pool.max_connections = 1
        for _ in range(3):
            with pytest.raises(UpstreamReset):
                await _call(pool)
    for _ in range(3):
        with pytest.raises(UpstreamConnectFailure):
            await _call(pool)


@swept
async def test_an_address_is_dialled_in_place_of_the_name_which_the_backend_still_hears(sweeper: Sweeper) -> None:
    async with backend() as model:
        origin, _ = split(model.url.replace("127.0.0.1", "no-such-name.invalid"))
        pool = Pool(origin, sweeper, Registry.private(), "backend", address="127.0.0.1")
        assert (await _call(pool)).status == 200
        assert b"host: no-such-name.invalid:%d\r\n" % origin.port in model.heard
        assert pool.describe()["url"] == str(origin)


@swept
async def test_a_certificate_is_that_of_the_name_and_not_of_the_address(sweeper: Sweeper, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.sign("model.invalid")
    context = server_context(schema.ServerTls(cert_file=server.certificate, key_file=server.key))
    async with backend(tls=context) as model:
        for host, works in (("model.invalid", True), ("other.invalid", False)):
            origin, _ = split(model.url.replace("localhost", host))
            tls = client_context(schema.BackendTls(ca_file=authority.file))
            pool = Pool(origin, sweeper, Registry.private(), "backend", address="127.0.0.1", tls=tls)
            if works:
                assert (await _call(pool)).status == 200
            else:
                with pytest.raises(UpstreamConnectFailure):
                    await _call(pool)


class TestReachable:
    @swept
    async def test_asks_once_for_everybody_and_keeps_the_connection(self, sweeper: Sweeper) -> None:
        async with backend() as model:
            pool = make(sweeper, model.url)
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(pool.reachable()) for _ in range(5)]
            assert all(one.result() for one in asked)
            assert await pool.reachable()
            assert len(pool.idle) == 1
            await _call(pool)
            assert len(model.peers) == 1


class TestTls:
    @swept
    async def test_verified_with_a_client_certificate(self, sweeper: Sweeper, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        server, client = authority.sign("localhost"), authority.sign("gateway")
        context = server_context(
            schema.ServerTls(cert_file=server.certificate, key_file=server.key, client_ca_file=authority.file)
        )
        tls = schema.BackendTls(ca_file=authority.file, cert_file=client.certificate, key_file=client.key)
        async with backend(tls=context) as model:
            pool = make(sweeper, model.url, tls)
            for _ in range(2):
                assert (await pool(ask(b"x" * 300_000, deadline=soon()))).status == 200
            assert len(model.peers) == 1

    @pytest.mark.parametrize(
        ("tls", "works"),
        [
            (schema.BackendTls(), False),
            (schema.BackendTls(insecure_skip_verify=True), True),
            (schema.BackendTls(server_name="other", insecure_skip_verify=True), True),
        ],
    )
    @swept
    async def test_a_certificate_that_nobody_vouches_for(
        self, sweeper: Sweeper, tmp_path: Path, tls: schema.BackendTls, works: bool
    ) -> None:
        server = Authority(tmp_path).sign("localhost")
        context = server_context(schema.ServerTls(cert_file=server.certificate, key_file=server.key))
        async with backend(tls=context) as model:
            pool = make(sweeper, model.url, tls)
            if works:
                assert (await pool(ask(deadline=soon()))).status == 200
            else:
                with pytest.raises(UpstreamConnectFailure):
                    await pool(ask(deadline=soon()))

    @pytest.mark.parametrize(("name", "works"), [(None, False), ("model", True)])
    @swept
    async def test_the_name_in_the_certificate(
        self, sweeper: Sweeper, tmp_path: Path, name: str | None, works: bool
    ) -> None:
        authority = Authority(tmp_path)
        server = authority.sign("model")
        context = server_context(schema.ServerTls(cert_file=server.certificate, key_file=server.key))
        async with backend(tls=context) as model:
            pool = make(sweeper, model.url, schema.BackendTls(ca_file=authority.file, server_name=name))
            if works:
                assert (await pool(ask(deadline=soon()))).status == 200
            else:
                with pytest.raises(UpstreamConnectFailure):
                    await pool(ask(deadline=soon()))

    @pytest.mark.parametrize("honest", [True, False])
    @swept
    async def test_a_body_until_the_end_needs_an_honest_end(
        self, sweeper: Sweeper, tmp_path: Path, honest: bool
    ) -> None:
        authority = Authority(tmp_path)
        server = authority.sign("localhost")
        context = server_context(schema.ServerTls(cert_file=server.certificate, key_file=server.key))

        async def until_close(peer: Peer) -> None:
            await peer.message()
            await peer.say(b"HTTP/1.1 200 OK\r\n\r\nhello")
            if not honest:  # the end of TCP without the end of TLS
                peer.shut_down()
                await peer.rest()

        async with backend(until_close, tls=context) as model:
            pool = make(sweeper, model.url, schema.BackendTls(ca_file=authority.file))
            if honest:
                assert (await pool(ask(deadline=soon()))).body == b"hello"
            else:
                with pytest.raises(UpstreamReset):
                    await pool(ask(deadline=soon()))

    @swept
    async def test_a_backend_that_does_not_speak_it(self, sweeper: Sweeper) -> None:
        async with backend(lambda peer: peer.say(EMPTY)) as model:
            pool = make(sweeper, model.url.replace("http:", "https:"))
            with pytest.raises(UpstreamConnectFailure):
                await pool(ask(deadline=soon()))


@virtual
async def test_idle_connections_grow_old() -> None:
    pool = MockPool()
    transport = await pool.warm()
    await asyncio.sleep(pools.IDLE_TIMEOUT - 7.0)
    assert not transport.is_closing()
    await asyncio.sleep(14.0)
    assert transport.ended
    assert not pool.idle


@swept
async def test_a_closed_connection_is_freed_without_the_garbage_collector(sweeper: Sweeper) -> None:
    def alive() -> int:
        return sum(isinstance(one, (ClientConnection, ResponseReader)) for one in gc.get_objects())

    async def once(peer: Peer) -> None:
        await peer.message()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")

    async def garbage(peer: Peer) -> None:
        await peer.message()
        await peer.say(b"no HTTP at all\r\n\r\n")

    gc.collect()
    gc.disable()
    try:
        for script in (once, garbage):
            async with backend(script) as model:
                pool = make(sweeper, model.url)
                with contextlib.suppress(UpstreamProtocolError):
                    await pool(ask(b"hi", deadline=soon()))
                pool.close()
                await asyncio.sleep(0.05)
        assert alive() == 0
    finally:
        gc.enable()
