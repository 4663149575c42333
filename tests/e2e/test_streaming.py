"""Answers that stream: complete, in order, at once, in little memory, and no longer than somebody listens."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from openai import AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletionChunk

from tests.support.badserver import badserver
from tests.support.behaviours import Answer, Endless, Events, Hang, Reset
from tests.support.chat import NAME, chat_model
from tests.support.raw import Peer, connected
from tests.support.running import RunningGateway, Serve, write

pytestmark = pytest.mark.e2e

MIB = 1 << 20
PAGE = 4096
Streaming = Callable[[str], Awaitable[RunningGateway]]
"""Starts a gateway, one worker, whose one backend is at the URL."""

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: 2\r\n\r\n{}"


POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-length: %d\r\n\r\n"


def configured(url: str, server: str = "") -> str:
    """One worker, with one backend at ``url``; ``server``: what else is to be said of it."""
    return f"""
server: {{listen: "127.0.0.1:0", workers: 1, {server}drain: {{delay: 0s}}}}
admin: {{listen: "127.0.0.1:0"}}
backends:
  llm: {{url: "{url}", protocol: raw}}
graphs:
  llm: {{nodes: {{root: {{routerType: Sequence, steps: [{{backend: llm}}]}}}}}}
"""


@pytest.fixture
def streaming(serve: Serve) -> Streaming:
    async def streaming(url: str) -> RunningGateway:
        return await serve(configured(url))

    return streaming


@asynccontextmanager
async def chat(gateway: RunningGateway) -> AsyncIterator[AsyncStream[ChatCompletionChunk]]:
    """The events of one chat."""
    async with (
        DefaultAsyncHttpxClient(trust_env=False) as http,
        AsyncOpenAI(base_url=f"{gateway.data}/v1", api_key="none", max_retries=0, http_client=http) as ai,
        await ai.chat.completions.create(
            model=NAME, messages=[{"role": "user", "content": "hello"}], stream=True
        ) as events,
    ):
        yield events


def port(gateway: RunningGateway) -> int:
    return int(gateway.data.rpartition(":")[2])


def memory(gateway: RunningGateway) -> int:
    """Resident bytes of the worker."""
    (worker,) = gateway.workers()
    return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * PAGE


async def becomes(gateway: RunningGateway, metric: str, value: float) -> None:
    """Wait until the metric says so."""
    async with asyncio.timeout(5):
        while await gateway.metric(metric) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def begun(peer: Peer) -> None:
    """Ask, and read the head of the answer."""
    await peer.say(REQUEST)
    async with asyncio.timeout(2):
        assert (await peer.head()).startswith(b"HTTP/1.1 200 OK\r\n")


async def until_the_end(peer: Peer) -> bytes:
    """All that is heard until the connection ends, in whatever order."""
    heard = b""
    with suppress(ConnectionResetError):
        while data := await peer.reader.read(65536):
            heard += data
    return heard


async def test_ten_thousand_events_arrive_complete_and_in_order(streaming: Streaming) -> None:
    words = [f"word-{number}" for number in range(10_000)]
    async with chat_model(words) as model, chat(await streaming(model.url)) as events:
        assert [event.choices[0].delta.content async for event in events] == words


async def test_the_first_event_arrives_before_the_last_is_sent(streaming: Streaming) -> None:
    async with chat_model(["one", "two"]) as model:
        model.pauses_before = 1
        gateway = await streaming(model.url)
        async with asyncio.timeout(2), chat(gateway) as events:
            first = await anext(events)
            assert (first.choices[0].delta.content, model.sent) == ("one", 1)
            model.go_on.set()
            assert [event.choices[0].delta.content async for event in events] == ["two"]


async def test_closing_the_client_closes_the_upstream_within_100_ms(streaming: Streaming) -> None:
    async with badserver() as server:
        server.does(Events(1, then=Hang()))
        gateway = await streaming(server.url)
        async with connected(port(gateway)) as peer:
            await begun(peer)
            assert not server.closed.is_set()
        async with asyncio.timeout(0.1):
            await server.closed.wait()


async def test_memory_stays_flat_whatever_the_length(streaming: Streaming) -> None:
    async with badserver() as server:
        server.does(Endless(b"x" * 65536))
        gateway = await streaming(server.url)
        async with connected(port(gateway)) as peer:
            await begun(peer)
            for _ in range(16):
                await peer.reader.readexactly(MIB)
            before = memory(gateway)
            for _ in range(128):
                await peer.reader.readexactly(MIB)
            assert memory(gateway) - before < 4 * MIB


async def test_a_client_that_reads_slowly_slows_the_model_server_down(streaming: Streaming) -> None:
    async with badserver() as server:
        server.does(Endless(b"x" * 65536))
        gateway = await streaming(server.url)
        async with connected(port(gateway)) as peer:
            await begun(peer)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            before, said = memory(gateway), -1
            while said != server.said:
                said = server.said
                assert said < 64 * MIB
                await asyncio.sleep(0.1)
            assert memory(gateway) - before < 4 * MIB


@pytest.mark.parametrize("pieces", [1, 3])
async def test_a_stream_that_breaks_off_is_not_completed(streaming: Streaming, pieces: int) -> None:
    async with badserver() as server:
        server.does(Events(pieces, 0.01, then=Reset()))
        gateway = await streaming(server.url)
        async with connected(port(gateway)) as peer:
            await begun(peer)
            heard = await until_the_end(peer)
            assert heard.count(b"data: ") == pieces
            assert not heard.endswith(b"0\r\n\r\n")
            assert b"application/problem+json" not in heard


async def test_a_drain_waits_for_a_stream(streaming: Streaming) -> None:
    async with chat_model(["one", "two"]) as model:
        model.pauses_before = 1
        gateway = await streaming(model.url)
        async with asyncio.timeout(20), chat(gateway) as events:
            assert (await anext(events)).choices[0].delta.content == "one"
            gateway.signal(signal.SIGTERM)
            await gateway.logs(" draining ")
            model.go_on.set()
            assert [event.choices[0].delta.content async for event in events] == ["two"]
            assert await gateway.ended() == 0


async def test_a_reload_lets_a_stream_end_where_it_began(serve: Serve, file: Path) -> None:
    async with chat_model(["one", "two"]) as old, chat_model(["new"]) as new:
        old.pauses_before = 1
        gateway = await serve(configured(old.url))
        async with asyncio.timeout(20), chat(gateway) as events:
            assert (await anext(events)).choices[0].delta.content == "one"
            write(file, configured(new.url))
            await gateway.reload()
            async with chat(gateway) as others:
                assert [event.choices[0].delta.content async for event in others] == ["new"]
            old.go_on.set()
            assert [event.choices[0].delta.content async for event in events] == ["two"]
        await becomes(gateway, "gateway_upstream_connections{", 1)  # the old generation's are gone with it
        assert await gateway.metric('gateway_requests_total{code="200",graph="llm"') == 2


async def test_what_became_of_each_stream_is_counted(streaming: Streaming) -> None:
    async with badserver() as server:
        server.does(Events(2, 0.05), Events(1, 0.01, then=Reset()), Events(1, then=Hang()))
        gateway = await streaming(server.url)
        async with connected(port(gateway)) as peer:
            await begun(peer)
            await peer.reader.readuntil(b"0\r\n\r\n")
        async with connected(port(gateway)) as peer:
            await begun(peer)
            await until_the_end(peer)
        async with connected(port(gateway)) as peer:
            await begun(peer)
        await becomes(gateway, "gateway_requests_in_flight", 0)
        for code, outcome in ((200, "success"), (502, "upstream_reset"), (499, "client_closed_request")):
            assert await gateway.metric(f'gateway_requests_total{{code="{code}",graph="llm",outcome="{outcome}"}}') == 1


async def test_a_large_upload_beyond_the_budget_is_refused_while_small_ones_pass(serve: Serve) -> None:
    async with badserver() as server:
        server.does(always=Answer())
        gateway = await serve(configured(server.url, "limits: {maxBodyBytes: 1MiB, maxBufferedBytes: 1MiB}, "))
        async with connected(port(gateway)) as first, connected(port(gateway)) as second:
            await first.say(POST % MIB + b"x" * (MIB // 2))
            await becomes(gateway, "gateway_buffered_bytes", MIB // 2)
            await second.say(POST % MIB)
            head, body = await second.message()
            assert head.startswith(b"http/1.1 503 ")
            assert b"\r\nretry-after: 1" in head
            assert b'"code":"overload"' in body
            async with connected(port(gateway)) as third:
                await third.say(POST % 2 + b"{}")
                assert (await third.head()).startswith(b"HTTP/1.1 200 ")
            await first.say(b"x" * (MIB // 2))
            assert (await first.head()).startswith(b"HTTP/1.1 200 ")
        await becomes(gateway, "gateway_buffered_bytes", 0)
        assert await gateway.metric("gateway_buffer_refusals_total") == 1
