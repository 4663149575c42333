from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest
import uvloop

from gateway.batching.batcher import Batcher
from gateway.batching.metrics import Counted
from gateway.config.batch import Batch as Policy
from gateway.layers.batch import apart, batch, batcher, priorities
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


@virtual
async def test_stacks_share_calls_where_they_are_of_one_place() -> None:
    model, other, made = Model(), Model(), a_batcher(Registry.private())
    first, second = (batch(made, Toy(), 32, ("here",))(model) for _ in range(2))
    alone = batch(made, Toy(), 32)(other)
    await asyncio.gather(first(rows(1)), second(rows(2)), alone(rows(3)))
    assert (model.calls, other.calls) == ([[1, 2]], [[3]])


@virtual
async def test_how_urgent_a_request_is_is_not_passed_on() -> None:
    model = Model()
    asked = Policy(priority_levels=2)
    layer = batch(a_batcher(Registry.private()), Toy(), 32, None, priorities(asked, in_body=False))(model)
    await asyncio.gather(layer(rows(1, headers=[(b"x-priority", b"2")])), layer(rows(2)))
    assert model.calls == [[1, 2]]
    assert model.requests[0].headers == []


@pytest.mark.parametrize(
    ("levels", "default", "behind"), [(2, None, 1.0), (3, None, 1.0), (5, None, 2.0), (5, 1, 0.0), (5, 5, 4.0)]
)
def test_who_names_no_level_has_the_middle_one(levels: int, default: int | None, behind: float) -> None:
    policy = Policy(priority_levels=levels, default_priority=default)
    found = priorities(policy, in_body=False)
    assert found is not None
    assert found.behind(rows(1)) == behind


def test_where_all_are_equal_nobody_looks() -> None:
    assert priorities(Policy(), in_body=True) is None


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
