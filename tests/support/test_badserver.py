from __future__ import annotations

import asyncio

import pytest

from tests.support.badserver import BadServer, badserver
from tests.support.behaviours import Answer, Deaf, Endless, Events, Hang, Late, Reset, Serve, busy
from tests.support.raw import Peer, connected, on_uvloop

REQUEST = b"POST /a?b HTTP/1.1\r\nHost: h\r\nX-Id: 1\r\nContent-Length: 3\r\n\r\nabc"


async def ask(peer: Peer) -> bytes:
    """The first line of the answer; b"" where there is none."""
    await peer.say(REQUEST)
    head, _ = await peer.message()
    return head.partition(b"\r\n")[0]


async def hung_up(peer: Peer) -> bool:
    """True for the end of the connection, False for a reset."""
    try:
        return await peer.reader.read(1) == b""
    except ConnectionResetError:
        return False


async def left(server: BadServer) -> None:
    async with asyncio.timeout(1):
        await server.closed.wait()


async def test_it_answers_well_and_keeps_what_it_heard() -> None:
    async with badserver() as server, connected(server.port) as peer:
        assert await ask(peer) == b"http/1.1 200 ok"
        assert await ask(peer) == b"http/1.1 200 ok"
        assert server.connections == 1
        assert server.attempts == {"/a?b": 2}
        assert server.said == 2 * len(Answer().bytes)
        (first, _) = server.requests
        assert (first.method, first.target, first.body) == ("POST", "/a?b", b"abc")
        assert first.headers == [("host", "h"), ("x-id", "1"), ("content-length", "3")]
        assert (first.header("x-id"), first.header("none")) == ("1", None)


async def test_each_request_has_its_own_behaviour_and_the_rest_the_standing_one() -> None:
    async with badserver() as server, connected(server.port) as peer:
        server.does(busy(429), Answer(500), always=Answer(404))
        assert [(await ask(peer))[9:12] for _ in range(4)] == [b"429", b"500", b"404", b"404"]
        server.does(busy())
        assert [(await ask(peer))[9:12] for _ in range(2)] == [b"503", b"404"]


async def test_each_connection_has_its_own_behaviour() -> None:
    async with badserver() as server:
        server.meets(Serve((Answer(500),)), Reset(), Late(0.02, Serve((Answer(404),))))
        async with connected(server.port) as peer:
            assert [(await ask(peer))[9:12] for _ in range(2)] == [b"500", b"200"]
        async with connected(server.port) as peer:
            assert not await hung_up(peer)
        async with connected(server.port) as peer:
            assert (await ask(peer))[9:12] == b"404"
        assert server.connections == 3


async def test_a_connection_that_is_not_heard() -> None:
    async with badserver() as server:
        server.meets(Hang())
        async with connected(server.port) as peer:
            await peer.say(REQUEST)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await peer.head()
        assert (server.connections, server.requests) == (1, [])


async def test_a_connection_that_closes_after_so_many_requests() -> None:
    async with badserver() as server:
        server.meets(always=Serve(limit=2))
        for _ in range(2):
            async with connected(server.port) as peer:
                assert [await ask(peer) for _ in range(2)] == [b"http/1.1 200 ok"] * 2
                assert await hung_up(peer)
        assert server.connections == 2
        assert not server.closed.is_set()


async def test_a_port_that_refuses_until_it_is_opened_and_again_afterwards() -> None:
    async with badserver(up=False) as server:
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)
            await server.up()
            async with connected(server.port) as peer:
                assert await ask(peer) == b"http/1.1 200 ok"
                server.down()
                assert await hung_up(peer)
        assert not server.closed.is_set()


async def test_it_knows_that_a_client_has_left() -> None:
    async with badserver() as server:
        server.does(always=Hang())
        for leave in (Peer.shut_down, Peer.reset, lambda peer: peer.writer.close()):
            server.closed.clear()
            async with connected(server.port) as peer:
                await peer.say(REQUEST)
                await server.arrived.acquire()
                assert not server.closed.is_set()
                leave(peer)
                await left(server)


@pytest.mark.parametrize("behaviour", [Late(10.0), Endless(), Events(10_000, 0.001)], ids=repr)
async def test_whatever_it_does_ends_when_the_client_leaves(behaviour: Late) -> None:
    async with badserver() as server:
        server.does(behaviour)
        async with connected(server.port) as peer:
            await peer.say(REQUEST)
            await server.arrived.acquire()
            (line,) = server.lines
        await left(server)
        async with asyncio.timeout(1):
            await asyncio.wait([line.work])
        assert line.work.cancelled()


async def test_what_it_is_doing_ends_with_the_server() -> None:
    async with badserver() as server:
        server.does(Hang(), Deaf(), Late(10.0), Endless(b"x" * 65536))
        peers = [Peer(*await asyncio.open_connection("127.0.0.1", server.port)) for _ in range(4)]
        for peer in peers:
            await peer.say(REQUEST)
            await server.arrived.acquire()
    for peer in peers:
        await peer.rest()
        await peer.close()
    assert not server.lines


async def test_a_client_that_does_not_read_stops_what_it_is_sent() -> None:
    async with badserver() as server:
        server.does(Endless(b"x" * 65536))
        async with connected(server.port) as peer:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await peer.say(REQUEST)
            await server.arrived.acquire()
            said = -1
            while said != server.said:
                said = server.said
                assert said < 32 << 20
                await asyncio.sleep(0.02)
            assert said > 0


@on_uvloop
async def test_it_is_as_bad_on_the_event_loop_of_the_real_thing() -> None:
    async with badserver() as server, connected(server.port) as peer:
        server.does(Answer(500), Reset())
        assert await ask(peer) == b"http/1.1 500 internal server error"
        await peer.say(REQUEST)
        assert not await hung_up(peer)
