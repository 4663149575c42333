from __future__ import annotations

import asyncio

import pytest

from gateway.http.drive import Drive
from gateway.message import Response
from tests.support.clock import virtual
from tests.support.service import answer

Outcome = tuple[Response | None, BaseException | None]


def driving() -> tuple[Drive, list[Outcome]]:
    outcomes: list[Outcome] = []
    return Drive(asyncio.get_running_loop(), lambda *outcome: outcomes.append(outcome)), outcomes


@virtual
async def test_an_answer_comes_after_all_waiting() -> None:
    good = answer()

    async def call() -> Response:
        await asyncio.sleep(1.0)
        await asyncio.sleep(0)
        await asyncio.sleep(2.0)
        return good

    drive, outcomes = driving()
    drive.begin(call())
    await asyncio.sleep(2.9)
    assert outcomes == []
    await asyncio.sleep(0.2)
    assert outcomes == [(good, None)]


@virtual
async def test_a_call_that_waits_for_nothing_ends_after_begin() -> None:
    good = answer()

    async def call() -> Response:
        return good

    drive, outcomes = driving()
    for _ in range(3):
        drive.begin(call())
        assert outcomes == []
        await asyncio.sleep(0)
        assert outcomes == [(good, None)]
        outcomes.clear()


@virtual
async def test_a_future_is_driven_too() -> None:
    future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    drive, outcomes = driving()
    drive.begin(future)
    await asyncio.sleep(1.0)
    future.set_result(good := answer())
    await asyncio.sleep(1.0)
    assert outcomes == [(good, None)]


@virtual
async def test_what_is_raised_is_told() -> None:
    bug = KeyError("bug")

    async def call() -> Response:
        raise bug

    drive, outcomes = driving()
    drive.begin(call())
    await asyncio.sleep(0)
    assert outcomes == [(None, bug)]


class Cancelled:
    """A call of two waits, and what became of it."""

    def __init__(self) -> None:
        self.waits = [asyncio.get_running_loop().create_future() for _ in range(2)]
        self.begun = 0

    async def __call__(self) -> Response:
        for wait in self.waits:
            self.begun += 1
            await wait
        return answer()


@virtual
async def test_cancelling_ends_what_it_waits_for() -> None:
    drive, outcomes = driving()
    call = Cancelled()
    drive.begin(call())
    await asyncio.sleep(1.0)
    drive.cancel()
    await asyncio.sleep(0)
    assert call.waits[0].cancelled()
    assert isinstance(outcomes[0][1], asyncio.CancelledError)
    assert (call.begun, len(outcomes)) == (1, 1)


@virtual
async def test_cancelling_just_as_the_wait_is_over_ends_the_next_one() -> None:
    drive, outcomes = driving()
    call = Cancelled()
    drive.begin(call())
    await asyncio.sleep(1.0)
    call.waits[0].set_result(None)
    drive.cancel()
    await asyncio.sleep(1.0)
    assert call.waits[1].cancelled()
    assert isinstance(outcomes[0][1], asyncio.CancelledError)
    assert (call.begun, len(outcomes)) == (2, 1)


@virtual
async def test_cancelling_before_the_beginning_ends_the_first_wait() -> None:
    drive, outcomes = driving()
    call = Cancelled()
    drive.begin(call())
    drive.cancel()
    await asyncio.sleep(1.0)
    assert call.waits[0].cancelled()
    assert isinstance(outcomes[0][1], asyncio.CancelledError)


@virtual
async def test_cancelling_after_the_end_changes_nothing() -> None:
    async def call() -> Response:
        return answer()

    drive, outcomes = driving()
    drive.begin(call())
    await asyncio.sleep(0)
    drive.cancel()
    await asyncio.sleep(1.0)
    assert len(outcomes) == 1


@pytest.mark.parametrize("waits", [True, False])
@virtual
async def test_a_cancelled_call_is_told_why(waits: bool) -> None:
    drive, outcomes = driving()
    drive.begin(asyncio.get_running_loop().create_future())
    if waits:
        await asyncio.sleep(1.0)
    drive.cancel("because")
    await asyncio.sleep(1.0)
    ((response, error),) = outcomes
    assert response is None
    assert isinstance(error, asyncio.CancelledError)
    assert error.args == ("because",)
