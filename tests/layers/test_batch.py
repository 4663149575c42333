from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest
import uvloop

from gateway.batching.batcher import Batcher
from gateway.batching.metrics import Counted
from gateway.config.batch import Batch as Policy
from gateway.layers.batch import apart, batch, batcher
from gateway.telemetry.metrics import Registry
from tests.support.clock import virtual
from tests.support.counted import total
from tests.support.service import MockService
from tests.support.toy import Model, Toy, rows


def a_batcher(registry: Registry) -> Batcher:
    return Batcher("b", Policy(), Counted(registry, "b"), lambda: b"id", asyncio.get_running_loop().time)


@virtual
async def test_what_can_share_a_call_goes_to_the_batcher() -> None:
    model = Model()
    layer = batch(a_batcher(Registry.private()), Toy(), 32)(model)
    answers = await asyncio.gather(layer(rows(1)), layer(rows(2)))
    assert [answer.body for answer in answers] == [b"[-1]", b"[-2]"]
    assert model.sizes == [2]
    assert "<Batch <Batcher b <Queue waiting=0/1024" in repr(layer)


@virtual
async def test_the_rest_goes_on_as_it_came_and_is_counted() -> None:
    registry = Registry.private()
    service = MockService(futures=True).answers().answers()
    layer = batch(a_batcher(registry), Toy(), 2)(service)
    broken, large = rows(), rows(1, 2, 3)
    broken.body = b"{"
    await layer(broken)
    await layer(large)
    assert service.bodies == [b"{", large.body]
    for reason in ("malformed", "rows"):
        assert total(registry, "gateway_batch_bypassed_total", reason=reason) == 1


@virtual
async def test_headers_that_keep_callers_apart_are_noted() -> None:
    service = MockService(futures=True).always(None)
    request = rows(1, headers=[(b"x-a", b"1"), (b"cookie", b"c"), (b"cookie", b"d")])
    apart(["Cookie", "authorization"])(service)(request)
    assert request.apart == ((b"cookie", b"c"), (b"cookie", b"d"))


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_loops_count_from_where_the_clock_of_batches_does(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scenario() -> None:
        layer = batch(batcher(Registry.private(), "b", Policy(linger="fixed", max_delay=0.02), 1), Toy(), 32)(
            Model(0.0)
        )
        await asyncio.sleep(0.001)
        began = monotonic()
        await layer(rows(1, deadline=asyncio.get_running_loop().time() + 5.0))
        assert 0.018 < monotonic() - began < 1.0
        assert monotonic() == pytest.approx(asyncio.get_running_loop().time(), abs=0.1)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())
