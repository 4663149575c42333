import asyncio
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.config.payload import Sink
from gateway.payload.dialect import CloudEvent
from gateway.payload.sinks import open_sink
from gateway.payload.sinks.http import HttpSink, seconds, verdict

EVENT = CloudEvent({"specversion": "1.0", "id": "x-1"}, "application/json", b"[1]")


class Receiver:
    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.peers: set[object] = set()
        self.answer = web.Response(status=202)

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=self.answer.status, headers=self.answer.headers)


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    receiver = Receiver()
    server = web.Server(receiver)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield receiver, f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_it_posts_over_one_connection(receiver: tuple[Receiver, str]) -> None:
    received, url = receiver
    sink = open_sink(Sink(type="http", url=url, headers={"authorization": "Bearer x"}))
    for _ in range(3):
        assert (await sink.send([EVENT])).result == "sent"
    await sink.close()
    assert len(received.peers) == 1
    headers, body = received.requests[0]
    assert body == b"[1]"
    assert (headers["ce-id"], headers["content-type"], headers["authorization"]) == (
        "x-1",
        "application/json",
        "Bearer x",
    )


async def test_no_content_type_is_invented(receiver: tuple[Receiver, str]) -> None:
    received, url = receiver
    sink = open_sink(Sink(type="http", url=url))
    await sink.send([EVENT._replace(content_type="")])
    await sink.close()
    assert "content-type" not in received.requests[0][0]


async def test_redirects_are_not_followed(receiver: tuple[Receiver, str]) -> None:
    received, url = receiver
    received.answer = web.Response(status=307, headers={"location": url})
    sink = open_sink(Sink(type="http", url=url))
    assert (await sink.send([EVENT])).result == "retry"
    await sink.close()
    assert len(received.requests) == 1


async def test_nobody_there_and_nobody_answering() -> None:
    sink = HttpSink(Sink(type="http", url="http://127.0.0.1:1/"))
    assert (await sink.send([EVENT])).result == "retry"
    await sink.close()


async def test_an_answer_that_takes_too_long() -> None:
    async def hangs(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hangs)
    async with TestServer(app) as server:
        sink = HttpSink(Sink(type="http", url=str(server.make_url("/")), timeout=0.01))
        assert (await sink.send([EVENT])).result == "retry"
        await sink.close()


@pytest.mark.parametrize(("mode", "together"), [("binary", 1), ("structured", 1), ("batched", 100)])
async def test_only_batches_hold_several(mode: Any, together: int) -> None:
    sink = HttpSink(Sink(type="http", url="http://127.0.0.1:1/", content_mode=mode, concurrency=3))
    assert (sink.together, sink.concurrency) == (together, 3)
    await sink.close()


@pytest.mark.parametrize(
    ("status", "result"),
    [
        *((status, "sent") for status in (200, 201, 202, 204)),
        *((status, "rejected") for status in (400, 413, 415, 422)),
        *((status, "retry") for status in (302, 401, 403, 404, 408, 429, 500, 502, 503, 504)),
        (410, "gone"),
    ],
)
def test_what_a_status_means(status: int, result: str) -> None:
    assert verdict(status).result == result


@pytest.mark.parametrize("status", [429, 503])
def test_when_to_come_again(status: int) -> None:
    assert verdict(status, "7").after == 7.0


def test_retry_after() -> None:
    assert seconds("100000") == 300.0
    assert seconds("") == seconds("soon") == seconds("-1") == 0.0
    assert 50 < seconds(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert seconds(formatdate(time.time() - 60, usegmt=True)) == 0.0
