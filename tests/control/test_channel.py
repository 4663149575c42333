import asyncio
import socket
from math import inf

import pytest

from gateway.control.channel import (
    Abort,
    Channel,
    Commit,
    Describe,
    Description,
    Drain,
    Drained,
    Failed,
    FromWorker,
    Prepare,
    Ready,
    Serving,
    Stop,
    ToWorker,
    Unready,
    control_end,
    worker_end,
)


async def ends() -> tuple[Channel[FromWorker, ToWorker], Channel[ToWorker, FromWorker]]:
    ours, theirs = socket.socketpair()
    return await control_end(ours), await worker_end(theirs)


@pytest.mark.parametrize(
    "message",
    [
        Prepare(1, generation=2, config=b"\x00" * 300_000),
        Commit(3, generation=2),
        Describe(4),
        Drain(5, timeout=1.5),
        Abort(2),
        Unready(),
        Stop(),
    ],
    ids=lambda message: type(message).__name__,
)
async def test_to_the_worker(message: ToWorker) -> None:
    control, worker = await ends()
    control.send(message)
    assert await worker.receive() == message
    await control.close()
    await worker.close()


async def test_to_a_dead_peer_there_is_no_room() -> None:
    control, worker = await ends()
    assert worker.backlog == 0
    await control.close()
    assert await worker.receive() is None
    await worker.close()
    assert worker.backlog == inf


@pytest.mark.parametrize(
    "message",
    [
        Ready(1),
        Failed(2, ("line", "other")),
        Serving(3),
        Description(4, [{"backend": "b", "connections": 2}]),
        Drained(5, True),
    ],
    ids=lambda message: type(message).__name__,
)
async def test_from_the_worker(message: FromWorker) -> None:
    control, worker = await ends()
    worker.send(message)
    assert await control.receive() == message
    await control.close()
    await worker.close()


async def test_messages_keep_their_order_and_survive_being_sent_before_the_end() -> None:
    control, worker = await ends()
    control.send(Describe(1))
    control.send(Describe(2))
    await control.close()
    assert [await worker.receive() for _ in range(3)] == [Describe(1), Describe(2), None]
    await worker.close()


async def test_a_frame_may_come_byte_by_byte() -> None:
    ours, theirs = socket.socketpair()
    worker = await worker_end(theirs)
    recorder, other = await ends()
    recorder.send(Commit(1, generation=9))
    frame = await other._reader.read(1000)
    receiving = asyncio.create_task(worker.receive())
    for byte in frame:
        ours.send(bytes([byte]))
        await asyncio.sleep(0)
    assert await receiving == Commit(1, generation=9)
    ours.close()
    for end in (worker, recorder, other):
        await end.close()


async def test_the_end_in_the_middle_of_a_frame_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    worker = await worker_end(theirs)
    ours.send(b"\x00\x00\x00\xffhalf")
    ours.close()
    assert await worker.receive() is None
    await worker.close()


async def test_sending_to_the_dead_is_no_error() -> None:
    control, worker = await ends()
    await worker.close()
    for _ in range(3):
        control.send(Stop())
    assert await control.receive() is None
    await control.close()
