from __future__ import annotations

import asyncio

from gateway.app import App
from gateway.errors import BadRequest
from gateway.http.arrival import Refusal
from gateway.layers.recover import Recover
from gateway.message import Response
from tests.support.clock import virtual
from tests.support.service import MockService, ask


class Counting:
    """What an App gives back at its end."""

    def __init__(self) -> None:
        self.released = 0
        self.opened = 0
        self.begun = 0

    async def open(self) -> None:
        self.opened += 1

    def begin(self) -> None:
        self.begun += 1

    def describe(self) -> list[dict[str, object]]:
        return [{"backend": "a"}]

    def release(self) -> None:
        self.released += 1


def app(service: MockService, counting: Counting) -> App:
    return App(Recover(service), counting)


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


@virtual
async def test_what_it_shares_is_opened_before_and_follows_it_from_its_begin() -> None:
    counting = Counting()
    generation = app(MockService(), counting)
    await generation.open()
    assert (counting.opened, counting.begun) == (1, 0)
    generation.begin()
    assert (counting.opened, counting.begun) == (1, 1)


@virtual
async def test_who_is_refused_is_noted_where_there_is_an_access_log() -> None:
    refusal = Refusal(BadRequest("malformed"), b"", b"-", b"-", 1, 0)
    noted: list[Refusal] = []
    App(Recover(MockService()), Counting(), noted.append).refused(refusal)
    app(MockService(), Counting()).refused(refusal)
    assert noted == [refusal]
