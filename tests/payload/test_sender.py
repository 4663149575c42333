import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from gateway.config.payload import Sink, Spool
from gateway.control.channel import Channel
from gateway.payload.lane import lock
from gateway.payload.orders import Configure, Flush, Flushed, ToSender
from gateway.payload.sender import Sender
from gateway.payload.writer import Writer
from gateway.telemetry.metrics import Registry, read
from tests.support.events import ids, named


class House:
    """A sender in this process, and the control process's end of its channel."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.out = directory / "out"
        self.registry = Registry.private()

    async def open(self) -> None:
        ours, theirs = socket.socketpair()
        self.channel: Channel[Flushed, ToSender] = Channel(*await asyncio.open_unix_connection(sock=ours), Flushed)
        channel: Channel[ToSender, Flushed] = Channel(*await asyncio.open_unix_connection(sock=theirs), ToSender)
        self.sender = Sender(channel, self.registry)
        self.running = asyncio.create_task(self.sender.run())

    def sink(self, out: str = "out") -> Sink:
        return Sink(type="file", path=str(self.directory / out), spool=Spool(path=str(self.directory / "spool")))

    def write(self, name: str, sink: str = "s") -> None:
        writer = Writer(self.directory / "spool" / sink)
        writer.append(named(name))
        writer.close()

    async def sent(self, *names: str, out: str = "out") -> None:
        """Wait until exactly these have arrived."""
        wanted = ids(names)
        async with asyncio.timeout(30):
            while self.arrived(out) != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def arrived(self, out: str = "out") -> list[str]:
        file = self.directory / out
        return [orjson.loads(line)["id"] for line in file.read_bytes().splitlines()] if file.exists() else []

    async def flushed(self, timeout: float = 30.0) -> bool:
        self.channel.send(Flush(timeout))
        answer = await self.channel.receive()
        await self.running
        assert answer is not None
        return answer.clean


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.open()
    yield house
    await house.channel.close()
    house.running.cancel()
    await asyncio.wait([house.running])


async def test_it_sends_what_is_spooled_and_what_is_left_at_the_end(house: House) -> None:
    house.write("a")
    house.channel.send(Configure({"s": house.sink()}, 0.0))
    await house.sent("a")
    house.write("b")
    assert await house.flushed()
    assert house.arrived() == ids("ab")


async def test_sinks_that_stay_as_they_are_go_on_and_the_others_change(house: House) -> None:
    house.channel.send(Configure({"s": house.sink(), "t": house.sink("t1")}, 0.0))
    house.write("a")
    await house.sent("a")
    going_on = house.sender._sending["s"]
    house.channel.send(Configure({"s": house.sink(), "t": house.sink("t2")}, 0.0))
    house.write("b", "t")
    await house.sent("b", out="t2")
    assert house.sender._sending["s"] is going_on
    house.channel.send(Configure({"s": house.sink()}, 0.0))
    assert await house.flushed()
    assert list(house.sender._sending) == ["s"]


async def test_every_series_is_there_from_the_start(house: House) -> None:
    house.channel.send(Configure({"s": house.sink()}, 0.0))
    assert await house.flushed()
    names = {
        (series.name.removeprefix("gateway_payload_log_"), *series.labels[1:])
        for series, _ in read(house.registry.segment)
    }
    dropped = {("dropped_total", reason) for reason in ("spool", "damaged", "rejected")}
    assert names == {("events_total", "sent"), ("retries_total",), ("queue_bytes",)} | dropped


async def test_a_sink_that_is_down_at_the_end_leaves_its_events(house: House) -> None:
    house.write("a")
    house.channel.send(Configure({"s": house.sink("missing/out")}, 0.0))
    assert not await house.flushed(0.2)
    assert (house.directory / "spool" / "s" / "0" / "0000000000000000.seg").exists()


async def test_two_senders_do_not_send_the_same(house: House) -> None:
    (house.directory / "spool" / "s").mkdir(parents=True)
    held = lock(house.directory / "spool" / "s" / "lock")
    assert held is not None
    house.write("a")
    house.channel.send(Configure({"s": house.sink()}, 0.0))
    await asyncio.sleep(0.2)
    assert house.arrived() == []
    os.close(held)
    await house.sent("a")


async def test_without_the_control_process_it_leaves_the_rest_to_a_successor(house: House) -> None:
    house.channel.send(Configure({"s": house.sink("missing/out")}, 30.0))
    house.write("a")
    await house.channel.close()
    await house.running
    successor = House(house.directory)
    await successor.open()
    successor.channel.send(Configure({"s": house.sink()}, 0.0))
    await successor.sent("a")
    assert await successor.flushed()
    await successor.channel.close()


async def test_what_is_in_memory_is_sent_and_removed_even_then(house: House) -> None:
    house.channel.send(Configure({"s": house.sink()}, 30.0, str(house.directory / "spool")))
    house.write("a")
    await house.channel.close()
    await house.running
    assert house.arrived() == ids("a")
    assert not (house.directory / "spool").exists()


async def test_a_sink_that_fails_for_a_bug_ends_it(house: House) -> None:
    (house.directory / "spool").write_text("no directory")
    house.channel.send(Configure({"s": house.sink()}, 0.0))
    with pytest.raises(NotADirectoryError):
        await house.running
