from __future__ import annotations

import asyncio
from math import inf

import pytest

from gateway.batching.call import SIZE, ended, send, sized
from gateway.batching.kind import Kind
from gateway.batching.lane import Batch, Entry, Lane
from gateway.errors import UpstreamReset
from gateway.message import Request, Response
from gateway.service import Service
from gateway.stream import Stream
from gateway.telemetry.tracing.tracer import Tracer
from tests.support.clock import virtual
from tests.support.service import MockService, answer, fields
from tests.support.spans import Spans
from tests.support.toy import Toy, rows


def of(service: Service, *requests: Request, since: float = 0.0, started: float = 0.0) -> Batch:
    lane = Lane(service, Toy(), Kind(), 0.0)
    loop = asyncio.get_running_loop()
    entries = [Entry(lane, Toy().member(request), loop.create_future(), since, since) for request in requests]
    return Batch(lane, entries, len(entries), started, 0.0, len(entries))


def new_id() -> bytes:
    return b"new"


def traced(tracer: Tracer, *requests: Request) -> None:
    for request in requests:
        request.trace = tracer.begin(request)


@virtual
async def test_one_is_sent_as_it_is_and_told_anew_how_much_time_is_left() -> None:
    seen: list[Request] = []

    async def keep(request: Request) -> Response:
        seen.append(request)
        return answer()

    fresh, stale = rows(1, deadline=9.0), rows(1, deadline=9.0)
    fresh.stamp = stale.stamp = b"x-request-timeout-ms: 9000\r\n"
    for request, started in ((fresh, 0.0005), (stale, 2.0)):
        await send(of(keep, request, started=started), "b", new_id)
    assert seen[0] is fresh
    assert fields(seen[1]) == [(b"x-request-timeout-ms", b"7000")]


@virtual
async def test_the_span_ends_with_the_call() -> None:
    spans = Spans()
    requests = [rows(n, deadline=inf) for n in range(2)]
    traced(spans.tracer(), *requests)
    await send(of(MockService().answers(status=500), *requests), "b", new_id)
    with pytest.raises(UpstreamReset):
        await send(of(MockService().fails(UpstreamReset("gone")), *requests), "b", new_id)
    calls = [span for span in spans if span.name == "batch b"]
    assert [span.attributes["error.type"] for span in calls] == ["500", "upstream_reset"]


@virtual
async def test_who_waited_alone_has_a_span_of_that() -> None:
    spans = Spans()
    fresh, late = rows(1), rows(2)
    traced(spans.tracer(), fresh, late)
    await send(of(MockService().answers(), fresh, started=0.0005), "b", new_id)
    await send(of(MockService().answers(), late, started=2.0), "b", new_id)
    (span,) = spans
    assert late.trace is not None
    assert (span.name, span.parent, span.links) == ("batch.wait", late.trace.id, [])
    assert span.end - span.start >= 2e9


@virtual
async def test_an_answer_tells_how_large_its_call_was() -> None:
    batch = of(MockService(), rows(1), rows(2))
    told = sized(answer(headers=[(b"a", b"b"), (SIZE, b"7")]), batch)
    assert told.headers == [(b"a", b"b"), (b"x-gateway-batch-size", b"2")]
    assert sized(answer(), None).headers == []


@virtual
async def test_a_stream_is_waited_for() -> None:
    class Source:
        def pause(self) -> None: ...
        def resume(self) -> None: ...
        def cancel(self) -> None: ...

    stream = Stream(Source())
    waiting = asyncio.create_task(ended(stream))
    await asyncio.sleep(1.0)
    assert not waiting.done()
    stream.cancel()
    await waiting
    await ended(stream)
    left = asyncio.create_task(ended(other := Stream(Source())))
    await asyncio.sleep(0)
    left.cancel()
    other.cancel()
