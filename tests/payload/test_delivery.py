import asyncio
import errno
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.config.payload import Sink
from gateway.payload.delivery import Delivery
from gateway.payload.dialect import CloudEvent, dialect
from gateway.payload.frames import pack
from gateway.payload.lane import Position, position
from gateway.payload.sinks.sink import SENT, Verdict
from gateway.payload.spool import Spool
from gateway.payload.writer import Writer
from gateway.telemetry.metrics import Registry
from tests.support.clock import virtual
from tests.support.events import named

RETRY = Verdict("retry", "status 503")


class FakeSink:
    """Takes what it is sent, unless other verdicts were prepared; ``slow`` seconds a message."""

    def __init__(self, together: int = 1, concurrency: int = 1) -> None:
        self.together, self.concurrency = together, concurrency
        self.got: list[str] = []
        self.times: list[float] = []
        self.next: deque[Verdict] = deque()
        self.slow = 0.0
        self.busy = self.busiest = 0
        self.closed = False

    async def send(self, events: Sequence[CloudEvent]) -> Verdict:
        self.times.append(asyncio.get_running_loop().time())
        verdict = self.next.popleft() if self.next else SENT
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        await asyncio.sleep(self.slow)
        self.busy -= 1
        if verdict == SENT:
            self.got += [str(event.attributes["correlationid"]) for event in events]
        return verdict

    async def close(self) -> None:
        self.closed = True


class House:
    def __init__(
        self, directory: Path, sink: FakeSink | None = None, bound: int = 1 << 20, most: int = 1 << 20
    ) -> None:
        self.directory = directory
        self.sink = sink or FakeSink()
        self.writer = Writer(directory, most)
        self.registry = Registry.private()
        spool = Spool(directory, bound)
        speak = dialect(Sink(type="stdout"))
        self.delivery = Delivery("s", spool, self.sink, speak, self.registry, lambda _, limit: limit)
        self.task = asyncio.create_task(self.delivery.run())

    def write(self, *names: str) -> None:
        self.writer.append(named(*names))

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    def count(self, name: str, **labels: str) -> float:
        return self.registry.counter(f"gateway_payload_log_{name}_total", sink="s", **labels).value


@virtual
async def test_events_are_sent_in_order_and_counted(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("a", "b")
    await asyncio.sleep(1)
    house.write("c")
    await asyncio.sleep(1)
    assert house.sink.got == ["a", "b", "c"]
    assert house.count("events", result="sent") == 3
    assert house.delivery.finished()
    await house.end()
    assert house.sink.closed


@virtual
async def test_a_sink_that_is_down_gets_everything_once_it_is_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    house = House(tmp_path)
    house.sink.next.extend([RETRY] * 12)
    for number in range(60):
        house.write(f"{number}")
        await asyncio.sleep(1)
    await asyncio.sleep(60)
    assert house.sink.got == [f"{number}" for number in range(60)]
    gaps = [round(b - a, 1) for a, b in zip(house.sink.times, house.sink.times[1:12], strict=False)]
    assert gaps == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0, 10.0]
    assert house.count("retries") == 12
    assert [line.split(": ")[1] for line in caplog.messages] == [
        "sink=s fails, events wait in the spool",
        "sink=s takes events again",
    ]
    await house.end()


@virtual
async def test_what_a_sink_asks_for_is_obeyed(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.sink.next.append(Verdict("retry", "status 429", 30.0))
    house.write("a")
    await asyncio.sleep(29)
    assert len(house.sink.times) == 1
    await asyncio.sleep(2)
    assert house.sink.got == ["a"]
    await house.end()


@virtual
async def test_an_event_that_is_rejected_is_counted_and_the_next_ones_go_on(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.sink.next.append(Verdict("rejected", "status 400"))
    house.write("a", "b")
    await asyncio.sleep(1)
    assert house.sink.got == ["b"]
    assert house.count("dropped", reason="rejected") == 1
    assert house.count("events", result="sent") == 1
    await house.end()


@virtual
async def test_a_record_that_nobody_can_read_is_rejected(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.writer.append(pack([b"no event"]))
    house.write("a")
    await asyncio.sleep(1)
    assert house.sink.got == ["a"]
    assert house.count("dropped", reason="rejected") == 1
    await house.end()


@virtual
async def test_a_sink_that_is_gone_is_left_alone_and_its_events_stay(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.sink.next.append(Verdict("gone", "status 410"))
    house.write("a", "b")
    await asyncio.sleep(100)
    assert len(house.sink.times) == 1
    assert house.delivery.gone
    await house.end()
    successor = House(tmp_path)
    await asyncio.sleep(1)
    assert successor.sink.got == ["a", "b"]
    await successor.end()


@virtual
async def test_together_and_at_once(tmp_path: Path) -> None:
    house = House(tmp_path, FakeSink(together=2, concurrency=3))
    house.sink.slow = 1.0
    house.write(*"abcdefgh")
    await asyncio.sleep(3)
    assert sorted(house.sink.got) == list("abcdefgh")
    assert house.sink.busiest == 3
    assert len(house.sink.times) == 4
    await house.end()


@virtual
async def test_of_those_at_once_only_what_failed_is_sent_again(tmp_path: Path) -> None:
    house = House(tmp_path, FakeSink(concurrency=3))
    house.sink.next.extend([SENT, RETRY, SENT])
    house.write("a", "b", "c", "d")
    await asyncio.sleep(2)
    assert house.sink.got == ["a", "c", "b", "d"]
    assert house.count("events", result="sent") == 4
    await house.end()


@virtual
async def test_what_was_sent_is_remembered_and_what_was_not_comes_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.write("a")
    await asyncio.sleep(1)
    house.sink.slow = 100.0
    house.write("b")
    await asyncio.sleep(1)
    await house.end()
    successor = House(tmp_path)
    await asyncio.sleep(1)
    assert successor.sink.got == ["b"]
    await successor.end()


@virtual
async def test_beyond_the_bound_the_oldest_are_dropped_and_all_are_accounted_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(tmp_path, bound=1000, most=200)
    house.sink.next.extend([RETRY] * 5)
    for number in range(100):
        house.write(f"{number}")
    await asyncio.sleep(100)
    dropped = int(house.count("dropped", reason="spool"))
    assert 50 < dropped < 99
    assert house.sink.got == [f"{number}" for number in range(dropped, 100)]
    assert house.count("events", result="sent") + dropped == 100
    told = [int(line.split("dropped=")[1].split(" ")[0]) for line in caplog.messages if "dropped=" in line]
    assert sum(told) == dropped
    await house.end()


@virtual
async def test_damage_is_counted_and_what_waits_is_shown(tmp_path: Path) -> None:
    house = House(tmp_path, most=1)
    house.sink.next.append(Verdict("retry", "", 10.0))
    house.write("a")
    house.write("b")
    house.write("c")
    (tmp_path / "0" / "0000000000000001.seg").write_bytes(b"damaged")
    await asyncio.sleep(1)
    waiting = house.registry.gauge("gateway_payload_log_queue_bytes", sink="s")
    assert waiting.value > 7
    await asyncio.sleep(20)
    assert house.sink.got == ["a", "c"]
    assert house.count("dropped", reason="damaged") == 1
    assert waiting.value == 0
    await house.end()


@virtual
async def test_a_spool_that_cannot_be_tidied_is_tidied_as_soon_as_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(tmp_path, most=1)

    def fails(lane: Path, place: Position) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr("gateway.payload.tail.remember", fails)
        house.write("a")
        house.write("b")
        await asyncio.sleep(1)
    assert house.sink.got == ["a", "b"]
    await asyncio.sleep(1)
    assert len([line for line in caplog.messages if "cannot tidy" in line]) == 1
    assert position(tmp_path / "0").number == 2
    await house.end()
