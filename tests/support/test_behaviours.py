from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.badserver import badserver
from tests.support.behaviours import (
    GARBAGE,
    Answer,
    Behaviour,
    Close,
    Deaf,
    Dribble,
    Early,
    Events,
    Hang,
    Interim,
    Late,
    Reset,
    Say,
    Up,
    busy,
    redirect,
    twice,
)
from tests.support.raw import Peer, connected

REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


async def said(behaviour: Behaviour, size: int) -> bytes:
    """The first ``size`` bytes of what a client hears."""
    async with badserver() as server, connected(server.port) as peer:
        server.does(behaviour)
        await peer.say(REQUEST)
        async with asyncio.timeout(5):
            return await peer.reader.readexactly(size)


async def until_the_end(peer: Peer) -> tuple[bytes, bool]:
    """What was heard, and whether the connection ended in good order."""
    heard = b""
    try:
        while data := await peer.reader.read(65536):
            heard += data
    except ConnectionResetError:
        return heard, False
    return heard, True


@pytest.mark.parametrize(
    ("behaviour", "data"),
    [
        (Answer(), OK),
        (Answer(404, b"", ()), b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        (
            Answer(200, b"abcde", (), chunk=3),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ),
        (
            busy(429, "7"),
            b'HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 16\r\n\r\n{"error":"busy"}',
        ),
        (
            redirect("/there"),
            b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n",
        ),
        (Say(b"\0\r\n"), b"\0\r\n"),
        (GARBAGE, GARBAGE.data),
        (twice(Answer()), OK + OK),
        (Dribble(), OK),
        (Interim(), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK),
        (
            Events(2),
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            b"9\r\ndata: 0\n\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n",
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_a_client_hears(behaviour: Behaviour, data: bytes) -> None:
    assert await said(behaviour, len(data)) == data


@pytest.mark.parametrize("end", [Close, Reset])
@pytest.mark.parametrize(
    "answer", [Answer(body=b"x" * 100), Answer(body=b"x" * 100, chunk=100)], ids=["length", "chunk"]
)
@pytest.mark.parametrize("up", Up)
async def test_an_answer_that_ends_too_early(end: type[Close] | type[Reset], answer: Answer, up: Up) -> None:
    async with badserver() as server, connected(server.port) as peer:
        server.does(end(up, answer))
        await peer.say(REQUEST)
        heard, in_order = await until_the_end(peer)
        assert in_order == (end is Close)
        assert heard == up.of(answer)
        assert answer.bytes.startswith(heard)
        assert not server.closed.is_set()


def test_the_places_where_an_answer_ends_differ() -> None:
    answer = Answer(body=b"x" * 100, chunk=100)
    assert Up.TO_NOTHING.of(answer) == b""
    assert b"\r\n\r\n" not in Up.INTO_THE_HEAD.of(answer)
    assert Up.TO_THE_BODY.of(answer) == answer.head
    assert Up.INTO_THE_BODY.of(answer).endswith(b"\r\n64\r\n" + b"x" * 51)


async def test_late() -> None:
    async with badserver() as server, connected(server.port) as peer:
        server.does(Late(0.03, Answer(404)))
        await peer.say(REQUEST)
        began = time.monotonic()
        assert (await peer.head()).startswith(b"HTTP/1.1 404")
        assert time.monotonic() - began > 0.02


async def test_events_come_one_after_the_other() -> None:
    async with badserver() as server, connected(server.port) as peer:
        server.does(Events(3, 0.01))
        await peer.say(REQUEST)
        await peer.head()
        began = time.monotonic()
        for event in (b"0", b"1", b"2"):
            assert await peer.reader.readuntil(b"\n\n\r\n") == b"9\r\ndata: %b\n\n\r\n" % event
        assert time.monotonic() - began > 0.015


async def test_events_that_break_off() -> None:
    async with badserver() as server, connected(server.port) as peer:
        server.does(Events(1, then=Reset()))
        await peer.say(REQUEST)
        heard, in_order = await until_the_end(peer)
        assert not in_order
        assert b"0\r\n\r\n" not in heard


async def test_no_answer_at_all() -> None:
    async with badserver() as server, connected(server.port) as peer:
        server.does(Hang())
        await peer.say(REQUEST)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await peer.head()
        assert server.requests[0].body == b"abc"


async def test_an_answer_before_the_body_is_there() -> None:
    async with badserver() as server, connected(server.port) as peer:
        server.does(Early())
        head, body = REQUEST[:-3], REQUEST[-3:]
        await peer.say(head)
        assert await peer.reader.readexactly(len(OK)) == OK
        assert server.requests[0].body == b""
        await peer.say(body + REQUEST)
        assert await peer.reader.readexactly(len(OK)) == OK
        assert [request.body for request in server.requests] == [b"abc", b"abc"]


@pytest.mark.parametrize("first", [b"", OK])
async def test_a_body_that_nobody_reads_fills_the_buffers(first: bytes) -> None:
    async with badserver() as server, connected(server.port) as peer:
        server.does(Deaf(first))
        await peer.say(b"POST / HTTP/1.1\r\ncontent-length: 100000000\r\n\r\n")
        assert await peer.reader.readexactly(len(first)) == first
        await server.arrived.acquire()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await peer.say(b"x" * 20_000_000)
        peer.reset()
