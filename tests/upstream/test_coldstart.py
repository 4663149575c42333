from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from gateway.http.origin import Origin
from gateway.telemetry.metrics import Registry
from gateway.telemetry.names import BUCKETS
from gateway.upstream.coldstart import ColdStart
from gateway.upstream.endpoint import Endpoint
from tests.support.clock import virtual
from tests.support.service import MockService


class Scene:
    def __init__(self, up: Callable[[float], bool]) -> None:
        self.loop = asyncio.get_running_loop()
        self.registry = Registry.private()
        self.endpoint = Endpoint(Origin("h", 80), MockService())
        self.asked: list[float] = []
        self.changes: list[tuple[float, bool]] = []
        self._up = up
        self.cold = ColdStart(self.registry, "iris", self.reach, self.changed)

    async def reach(self, endpoint: Endpoint) -> bool:
        assert endpoint is self.endpoint
        self.asked.append(round(self.loop.time(), 6))
        return self._up(self.loop.time())

    def changed(self) -> None:
        self.changes.append((round(self.loop.time(), 6), self.endpoint.reachable))

    @property
    def count(self) -> float:
        return self.registry.counter("gateway_cold_starts_total", backend="iris").value

    @property
    def seconds(self) -> list[float]:
        return list(self.registry.histogram("gateway_cold_start_seconds", BUCKETS, backend="iris")._cells)


@virtual
async def test_an_endpoint_that_is_down_is_asked_soon_and_then_more_seldom() -> None:
    scene = Scene(lambda now: now >= 4)
    scene.cold.lost(scene.endpoint)
    scene.cold.lost(scene.endpoint)
    assert scene.changes == [(0.0, False)]
    await asyncio.sleep(60)
    assert scene.asked == [0.1, 0.3, 0.7, 1.5, 2.5, 3.5, 4.5]
    assert scene.changes == [(0.0, False), (4.5, True)]
    assert scene.endpoint.since == pytest.approx(4.5)


@virtual
async def test_one_that_comes_and_goes_is_asked_seldom(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(lambda now: True)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            scene.cold.lost(scene.endpoint)
            await asyncio.sleep(1.05)
            assert scene.endpoint.reachable
    assert scene.asked == [0.1, 2.05, 3.1]
    assert [record.message for record in caplog.records[:2]] == [
        "backend iris: http://h cannot be reached, its requests are held",
        "backend iris: http://h is up",
    ]


@virtual
async def test_nobody_asks_for_an_endpoint_that_is_gone() -> None:
    scene = Scene(lambda now: False)
    scene.cold.forget(scene.endpoint)
    scene.cold.lost(scene.endpoint)
    await asyncio.sleep(1)
    scene.cold.forget(scene.endpoint)
    asked = len(scene.asked)
    await asyncio.sleep(60)
    assert len(scene.asked) == asked
    assert scene.endpoint.reachable
    assert len(scene.changes) == 1


@virtual
async def test_cold_starts_are_counted_and_timed_once_each() -> None:
    scene = Scene(lambda now: True)
    scene.cold.end()
    assert (scene.count, sum(scene.seconds)) == (0, 0)
    scene.cold.begin()
    await asyncio.sleep(1)
    scene.cold.begin()
    await asyncio.sleep(1)
    scene.cold.end()
    scene.cold.end()
    assert (scene.count, sum(scene.seconds[:-1]), scene.seconds[-1]) == (1, 1, 2.0)
    scene.cold.begin()
    assert scene.count == 2
