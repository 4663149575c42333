from __future__ import annotations

import asyncio

from gateway.batching.kind import Kind
from gateway.batching.lane import Batch, Case, Entry, Lane, Part
from gateway.batching.spans import of_call, of_wait
from tests.support.clock import virtual
from tests.support.spans import Spans
from tests.support.toy import Model, Toy, rows


def of(spans: Spans, *sampled: bool) -> Batch:
    """A batch of requests with two rows each, which have waited for 1, 2, … seconds; some of them ``sampled``."""
    lane = Lane(Model(), Toy(), Kind(), 0.0)
    entries = []
    for number, traced in enumerate(sampled, 1):
        request = rows(1, 2)
        request.trace = spans.tracer().begin(request) if traced else None
        future = asyncio.get_running_loop().create_future()
        entries.append(Entry(lane, Toy().member(request), future, 10.0 - number, 10.0 - number))
    return Batch(lane, entries, 2 * len(entries), 10.0, 0.0, len(entries))


@virtual
async def test_a_call_and_its_members_are_linked_to_each_other() -> None:
    spans = Spans()
    batch = of(spans, False, True, True)
    above = [trace for entry in batch.entries if (trace := entry.member.request.trace)]
    call = of_call("b", batch, above[0])
    about = {"gateway.backend": "b", "gateway.batch.rows": 6, "gateway.batch.requests": 3}
    assert (call.name, call.kind, call.parent, call.trace_id) == ("batch b", "internal", above[0].id, above[0].trace_id)
    assert (call.links, call.attributes) == (above, about)
    assert [(wait.name, wait.parent, wait.links) for wait in spans] == [
        ("batch.wait", trace.id, [call]) for trace in above
    ]
    assert [wait.attributes for wait in spans] == [about, about]
    waits = [wait.end - wait.start for wait in spans]
    assert [round(nanoseconds / 1e9) for nanoseconds in waits] == [2, 3]


@virtual
async def test_who_is_sent_once_more_has_waited_already() -> None:
    spans = Spans()
    batch = of(spans, True)
    batch.entries[0].part = Part(Case(2))
    of_wait("b", batch, batch.entries[0])
    assert not spans
