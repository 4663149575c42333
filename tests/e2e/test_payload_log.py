"""The payload log of a real gateway: a sink that is down, busy or gone, and deaths meanwhile."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.receiver import Receiver, receiving
from tests.support.running import Model, RunningGateway, Serve, configuration, predict, write

pytestmark = pytest.mark.e2e
Models = tuple[Model, Model]
RECORDED = 'gateway_payload_log_events_total{result="recorded"'
DROPPED = "gateway_payload_log_dropped_total"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def logged(model: Model, receiver: Receiver, spool: Path | None, *, workers: int = 2, **given: str) -> str:
    """One graph, all of it logged; ``given``: ``drain``, keys of the sink, and ``bound`` for the spool's."""
    bound = f", maxBytes: {given.pop('bound')}" if "bound" in given else ""
    where = f"spool: {{path: {spool}{bound}}}" if spool else ""
    drain = given.pop("drain", "{delay: 0s, timeout: 30s}")
    more = "".join(f", {name}: {value}" for name, value in given.items())
    sink = f"{{type: http, url: '{receiver.url}', {where}{more}}}"
    text = configuration(model.url, drain=drain, workers=workers)
    text = text.replace("  m: {nodes:", "  m: {payloadLog: {sink: audit}, nodes:")
    return f"{text}payloadLog: {{sinks: {{audit: {sink}}}}}\n"


def is_worker(pid: int) -> bool:
    return b"gateway.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()


async def kill(gateway: RunningGateway, victim: str) -> None:
    """With SIGKILL: its workers, or all of it."""
    pids = [pid for pid in gateway.workers() if victim == "gateway" or is_worker(pid)]
    for pid in pids if victim == "worker" else [*pids, gateway.process.pid]:
        os.kill(pid, signal.SIGKILL)
    if victim == "gateway":
        await gateway.ended()
    else:
        await gateway.logs("exited code=-9", len(pids))


async def requests(gateway: RunningGateway, count: int) -> None:
    for _ in range(count):
        assert await predict(gateway.data) == (200, "one")


async def pour(gateway: RunningGateway, names: Iterable[int], pause: float = 0.0, **body: Any) -> dict[str, float]:
    """One request after the other on one connection, with these ids, until it breaks; when each was answered."""
    answered = {}
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
        for name in map(str, names):
            asked = session.post(
                f"{gateway.data}/v1/models/m:predict", json={"instances": [], **body}, headers={"x-request-id": name}
            )
            try:
                async with asked as answer:
                    assert answer.status == 200
                    await answer.read()
            except aiohttp.ClientError:
                break
            answered[name] = loop.time()
            await asyncio.sleep(pause)
    return answered


def arrived(receiver: Receiver) -> list[tuple[str, str]]:
    """Request id and kind of each event that was taken, in order."""
    return [(call.headers["ce-correlationid"], call.headers["ce-type"].split(".")[-2]) for call in receiver.taken]


def both(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, kind) for name in names for kind in ("request", "response")]


async def recorded(gateway: RunningGateway, count: int) -> None:
    """Wait until that many events are in the spool."""
    async with asyncio.timeout(30):
        while await gateway.metric(RECORDED) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_after_an_outage_every_event_arrives_once(
    serve: Serve, models: Models, receiver: Receiver, tmp_path: Path
) -> None:
    gateway = await serve(logged(models[0], receiver, tmp_path / "spool"))
    await requests(gateway, 5)
    await receiver.has(10)
    receiver.down = True
    await requests(gateway, 20)
    await recorded(gateway, 50)
    await gateway.logs("sink=audit fails, events wait in the spool: status 503")
    receiver.down = False
    await receiver.has(50)
    await gateway.logs("sink=audit takes events again")
    assert set(receiver.ids.values()) == {1}
    assert await gateway.metric(DROPPED) == 0


async def test_under_load_the_events_of_an_outage_arrive_once_and_in_order(
    serve: Serve, models: Models, receiver: Receiver, tmp_path: Path
) -> None:
    """Of each client: its requests are one after the other, on one connection and so with one worker."""
    gateway = await serve(logged(models[0], receiver, tmp_path / "spool"))
    names = [list(range(1000 * client, 1000 * client + 150)) for client in range(3)]
    async with asyncio.TaskGroup() as group:
        for own in names:
            group.create_task(pour(gateway, own, 0.015))
        receiver.down = True
        await asyncio.sleep(2.0)
        receiver.down = False
    await receiver.has(900)
    found = arrived(receiver)
    for own in names:
        assert [event for event in found if int(event[0]) in own] == both(map(str, own))
    assert len(found) == 900
    assert await gateway.metric(DROPPED) == 0


@pytest.mark.parametrize("victim", ["worker", "gateway"])
async def test_a_death_during_an_outage_loses_nothing_of_what_is_in_the_spool(
    serve: Serve, models: Models, receiver: Receiver, tmp_path: Path, victim: str
) -> None:
    text = logged(models[0], receiver, tmp_path / "spool", workers=1)
    gateway = await serve(text)
    receiver.down = True
    before = await pour(gateway, range(100))
    await recorded(gateway, 200)
    await kill(gateway, victim)
    assert not receiver.taken
    gateway = gateway if victim == "worker" else await serve(text)
    after = await pour(gateway, range(100, 200))
    receiver.down = False
    await receiver.has(400)
    assert sorted(arrived(receiver)) == sorted(both([*before, *after]))
    assert set(receiver.ids.values()) == {1}


@pytest.mark.parametrize("victim", ["worker", "gateway"])
async def test_a_death_under_load_takes_at_most_the_events_of_the_last_moment(
    serve: Serve, models: Models, receiver: Receiver, tmp_path: Path, victim: str
) -> None:
    """A second: the spool's ``fsync``. In truth it is the 50 ms that events wait in memory."""
    text = logged(models[0], receiver, tmp_path / "spool", workers=1)
    gateway = await serve(text)
    receiver.down = True
    pouring = asyncio.create_task(pour(gateway, range(100_000), 0.002))
    await asyncio.sleep(1.5)
    death = asyncio.get_running_loop().time()
    await kill(gateway, victim)
    before = await pouring
    gateway = gateway if victim == "worker" else await serve(text)
    after = await pour(gateway, range(200_000, 200_050))
    receiver.down = False
    old = {name for name, moment in before.items() if moment < death - 1.0}
    await receiver.has(2 * (len(old) + len(after)))
    await recorded(gateway, 100)
    async with asyncio.timeout(30):
        while not set(both([*old, *after])) <= set(arrived(receiver)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert old
    assert set(receiver.ids.values()) == {1}


async def test_only_what_exceeds_the_bound_is_dropped_the_oldest_first_counted_and_told_once(
    serve: Serve, models: Models, receiver: Receiver, tmp_path: Path
) -> None:
    text = logged(models[0], receiver, tmp_path / "spool", workers=1, bound="1MiB")
    gateway = await serve(text)
    receiver.down = True
    await pour(gateway, range(10), pad="x" * 10_000)
    await recorded(gateway, 20)
    assert await gateway.metric(DROPPED) == 0
    await pour(gateway, range(10, 200), 0.01, pad="x" * 10_000)
    await gateway.logs("dropped=")
    await recorded(gateway, 400)
    receiver.down = False
    await receiver.called()
    async with asyncio.timeout(30):
        while len(receiver.taken) + await gateway.metric(DROPPED) < 400:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    lost = int(await gateway.metric('gateway_payload_log_dropped_total{reason="spool"'))
    assert lost == await gateway.metric(DROPPED) > 100
    assert arrived(receiver) == both(map(str, range(200)))[lost:]
    assert len([line for line in gateway.log if "dropped=" in line]) == 1


async def test_a_receiver_that_is_busy_is_left_alone_for_as_long_as_it_says(
    serve: Serve, models: Models, receiver: Receiver
) -> None:
    gateway = await serve(logged(models[0], receiver, None))
    receiver.once = [(429, {"retry-after": "2"})]
    await requests(gateway, 3)
    await receiver.has(6)
    first, second = receiver.calls[:2]
    assert second.time - first.time > 1.9
    assert set(receiver.ids.values()) == {1}


async def test_a_receiver_that_wants_no_more_is_asked_no_more_until_a_restart(
    serve: Serve, models: Models, receiver: Receiver, tmp_path: Path
) -> None:
    text = logged(models[0], receiver, tmp_path / "spool", workers=1)
    gateway = await serve(text)
    receiver.status = 410
    await requests(gateway, 2)
    await gateway.logs("sink=audit wants no more events (410)")
    calls = len(receiver.calls)
    await requests(gateway, 3)
    await recorded(gateway, 10)
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    assert len(receiver.calls) == calls
    receiver.status = 204
    await serve(text)
    await receiver.has(10)
    assert set(receiver.ids.values()) == {1}


async def test_a_drain_flushes(serve: Serve, models: Models, receiver: Receiver) -> None:
    gateway = await serve(logged(models[0], receiver, None))
    await requests(gateway, 10)
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    assert len(receiver.ids) == 20


@pytest.mark.parametrize(("kept", "code"), [(True, 0), (False, 3)])
async def test_what_a_drain_cannot_flush_is_sent_after_the_restart_if_there_is_a_place_for_it(
    serve: Serve, models: Models, receiver: Receiver, tmp_path: Path, kept: bool, code: int
) -> None:
    spool = tmp_path / "spool" if kept else None
    text = logged(models[0], receiver, spool, drain="{delay: 0s, timeout: 1s}")
    gateway = await serve(text)
    receiver.down = True
    await requests(gateway, 10)
    gateway.signal(signal.SIGTERM)
    assert await gateway.ended() == code
    await gateway.logs("not everything is sent" if kept else "not everything is sent, and lost")
    receiver.down = False
    successor = await serve(text)
    await requests(successor, 1)
    await receiver.has(22 if kept else 2)
    assert len(receiver.taken) == (22 if kept else 2)


async def test_a_reload_brings_and_takes_sinks(
    serve: Serve, models: Models, receiver: Receiver, file: Path, tmp_path: Path
) -> None:
    plain = configuration(models[0].url)
    gateway = await serve(plain)
    assert len(gateway.workers()) == 2
    write(file, logged(models[0], receiver, tmp_path / "spool"))
    await gateway.reload()
    await requests(gateway, 5)
    await receiver.has(10)
    assert len(gateway.workers()) == 3
    write(file, plain)
    await gateway.reload()
    await requests(gateway, 5)
    await asyncio.sleep(0.3)
    assert len(receiver.ids) == 10


def test_workers_load_no_http_client() -> None:
    code = "import sys, gateway.worker, gateway.compile; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "gateway.payload.queue" in loaded
    assert not {"aiohttp", "gateway.payload.sender"} & set(loaded)
