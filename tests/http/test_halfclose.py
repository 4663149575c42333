from __future__ import annotations

import asyncio

from gateway.http.halfclose import PROBE_AFTER, Probe
from gateway.http.wire import CONTINUE
from tests.support.clock import virtual
from tests.support.transport import MockTransport


def half_closed() -> MockTransport:
    return MockTransport(asyncio.Protocol())


@virtual
async def test_whoever_waits_is_asked_once() -> None:
    client = half_closed()
    Probe(client, asyncio.get_running_loop(), lambda: True)
    await asyncio.sleep(PROBE_AFTER - 0.01)
    assert client.answers() == b""
    await asyncio.sleep(10 * PROBE_AFTER)
    assert client.answers() == CONTINUE
    assert not client.aborted


@virtual
async def test_nobody_is_asked_once_the_answer_is_out() -> None:
    client = half_closed()
    Probe(client, asyncio.get_running_loop(), lambda: False)
    await asyncio.sleep(10 * PROBE_AFTER)
    assert client.answers() == b""
