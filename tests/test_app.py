from __future__ import annotations

import asyncio

from gateway.app import App
from gateway.layers.recover import Recover
from gateway.message import Response
from tests.support.clock import virtual
from tests.support.service import MockService, ask


class Counting:
    """What an App gives back at its end."""

    def __init__(self) -> None:
        self.released = 0

    def release(self) -> None:
        self.released += 1


def app(service: MockService, counting: Counting) -> App:
    return App(Recover(service), counting.release, lambda: [{"backend": "a"}])


async def answered(generation: App) -> Response:
    return await generation(ask())


@virtual
async def test_it_answers_counts_and_describes() -> None:
    generation = app(MockService().answers(b"[]", after=1.0), Counting())
    task = asyncio.create_task(answered(generation))
    await asyncio.sleep(0.5)
    assert generation.in_flight == 1
    assert repr(generation) == "<App in_flight=1>"
    assert (await task).body == b"[]"
    assert generation.in_flight == 0
    assert generation.describe() == [{"backend": "a"}]


@virtual
async def test_an_idle_generation_retires_at_once() -> None:
    counting = Counting()
    await app(MockService(), counting).retire()
    assert counting.released == 1


@virtual
async def test_a_busy_one_retires_when_its_last_request_has_ended_however_it_ended() -> None:
    counting = Counting()
    generation = app(MockService().answers(after=5.0).hangs(), counting)
    first, second = (asyncio.create_task(answered(generation)) for _ in range(2))
    await asyncio.sleep(0)
    retiring = asyncio.create_task(generation.retire())
    await first
    await asyncio.sleep(100)
    assert not retiring.done()
    assert counting.released == 0
    second.cancel()
    await retiring
    assert counting.released == 1
