import asyncio
from collections.abc import Callable
from concurrent.futures import Future

from gateway.config.payload import Spool
from gateway.payload.event import Snapshot, decode
from gateway.payload.frames import Frame, unpack
from gateway.payload.queue import AT_ONCE, DELAY, FULL, LIMIT, OVERHEAD, Queue
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual
from tests.support.events import snapshot


class FakeWriter:
    most = 0
    durable = True

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.done: list[str] = []
        self.error: OSError | None = None

    def append(self, frame: Frame) -> None:
        if self.error is not None:
            raise self.error
        self.bodies += [decode(record).body for record in unpack(frame)]
        self.done.append(f"append {frame.records}")

    def sync(self) -> None:
        self.done.append("sync")

    def close(self) -> None:
        self.done.append("close")


class Disk:
    """Runs what is submitted at once or, while it is ``slow``, later."""

    def __init__(self) -> None:
        self.slow = False
        self.held: list[Callable[[], None]] = []

    def __call__(self, call: Callable[..., None], *arguments: object) -> Future[None]:
        future: Future[None] = Future()

        def run() -> None:
            try:
                call(*arguments)
            except OSError as error:
                future.set_exception(error)
            else:
                future.set_result(None)

        self.held.append(run)
        if not self.slow:
            self.release()
        return future

    def release(self) -> None:
        while self.held:
            self.held.pop(0)()


class House:
    def __init__(self, fsync: float | str = "never", segment: int = 7 << 20) -> None:
        self.writer = FakeWriter()
        self.disk = Disk()
        self.registry = Registry.private()
        self.queue = Queue("s", self.writer, self.registry, asyncio.get_running_loop(), self.disk)
        self.queue.configure(Spool(fsync=fsync), segment)  # type: ignore[arg-type]

    def put(self, body: bytes) -> None:
        self.queue.put(snapshot(body))

    def recorded(self) -> float:
        return self.registry.counter("gateway_payload_log_events_total", sink="s", result="recorded").value

    def dropped(self, reason: str) -> float:
        return self.registry.counter("gateway_payload_log_dropped_total", sink="s", reason=reason).value


@virtual
async def test_events_wait_a_moment_and_are_written_together() -> None:
    house = House()
    house.put(b"a")
    house.put(b"b")
    await asyncio.sleep(DELAY - 0.001)
    assert house.writer.bodies == []
    await asyncio.sleep(0.002)
    assert house.writer.bodies == [b"a", b"b"]
    assert house.recorded() == 2
    house.put(b"c")
    await asyncio.sleep(2 * DELAY)
    assert house.writer.done == ["append 2", "append 1"]


@virtual
async def test_many_bytes_wait_no_longer() -> None:
    house = House()
    house.put(bytes(FULL))
    assert len(house.writer.bodies) == 1
    assert "writing" in repr(house.queue)
    await asyncio.sleep(1)
    assert repr(house.queue) == "<Queue 0 events, 0 bytes>"


@virtual
async def test_what_comes_during_a_write_is_written_after_it() -> None:
    house = House()
    house.disk.slow = True
    house.put(bytes(FULL))
    for _ in range(3):
        house.put(b"a")
    await asyncio.sleep(1)
    assert house.writer.bodies == []
    house.disk.slow = False
    house.disk.release()
    await asyncio.sleep(1)
    assert house.writer.done == ["append 1", "append 3"]


@virtual
async def test_while_the_disk_is_slow_the_oldest_are_dropped() -> None:
    house = House()
    house.disk.slow = True
    house.put(bytes(FULL))
    for number in range(5):
        house.put(bytes([number]) * (LIMIT // 4 - 1000))
    assert house.dropped("memory") == 1
    house.disk.slow = False
    house.disk.release()
    await asyncio.sleep(1)
    assert [body[:1] for body in house.writer.bodies] == [b"\0", b"\1", b"\2", b"\3", b"\4"]
    assert house.recorded() == 5


@virtual
async def test_of_a_spool_with_small_files_no_more_than_one_is_written_at_once() -> None:
    house = House(segment=64 << 10)
    house.put(bytes(64 << 10))
    assert house.writer.done == ["append 1"]


@virtual
async def test_many_small_ones_are_not_too_many_either() -> None:
    house = House()
    for _ in range(FULL // OVERHEAD):
        house.put(b"")
    assert house.writer.done == [f"append {FULL // OVERHEAD}"]


@virtual
async def test_what_is_unfinished_is_finished_before_it_is_written_and_not_before_there_is_time() -> None:
    house = House()
    finished: list[bytes] = []

    def finish(taken: Snapshot) -> None:
        finished.append(taken.body)
        taken.body = b"[redacted]"

    house.queue.put_unfinished(finish, snapshot(b"a"))
    house.put(b"b")
    assert finished == []
    await asyncio.sleep(1)
    house.put(b"c")
    await asyncio.sleep(1)
    assert finished == [b"a"]
    assert house.writer.bodies == [b"[redacted]", b"b", b"c"]


@virtual
async def test_what_is_unfinished_does_not_pile_up() -> None:
    house = House()
    most = 0
    unfinished = house.queue._unfinished
    for _ in range(100):
        house.queue.put_unfinished(lambda taken: None, snapshot())
        most = max(most, len(unfinished))
    assert most < AT_ONCE
    await asyncio.sleep(1)
    assert house.writer.done == ["append 100"]


@virtual
async def test_what_the_disk_refuses_is_counted() -> None:
    house = House()
    house.writer.error = OSError("full")
    house.put(b"a")
    await asyncio.sleep(1)
    assert (house.dropped("disk"), house.recorded()) == (1, 0)
    house.writer.error = None
    house.put(b"b")
    await asyncio.sleep(1)
    assert house.writer.bodies == [b"b"]


@virtual
async def test_fsync_in_time_even_if_nothing_follows() -> None:
    house = House(2.0)
    house.put(b"a")
    await asyncio.sleep(1)
    house.put(b"b")
    await asyncio.sleep(0.99)
    assert house.writer.done == ["append 1", "append 1"]
    await asyncio.sleep(0.011)
    assert house.writer.done[2:] == ["sync"]
    await asyncio.sleep(100)
    assert house.writer.done[3:] == []


@virtual
async def test_fsync_sooner_than_events_are_written_otherwise() -> None:
    house = House(0.01)
    house.put(b"a")
    await asyncio.sleep(0.011)
    assert house.writer.done == ["append 1", "sync"]


@virtual
async def test_fsync_always_and_never() -> None:
    always, never = House("always"), House("never")
    for house in (always, never):
        house.put(b"a")
    await asyncio.sleep(100)
    assert always.writer.done == ["append 1", "sync"]
    assert never.writer.done == ["append 1"]
    assert (always.writer.durable, never.writer.durable, never.writer.most) == (True, False, 7 << 20)


@virtual
async def test_the_end_writes_what_is_left() -> None:
    house = House(1.0)
    for number in range(3):
        house.put(b"%d" % number)
    house.queue.close()
    house.queue._thread.shutdown()
    assert house.writer.done == ["append 3", "sync", "close"]
    assert house.recorded() == 3


@virtual
async def test_the_end_writes_what_the_disk_was_too_slow_for() -> None:
    house = House()
    house.disk.slow = True
    for body in (bytes(FULL), b"a" * FULL, b"b"):
        house.put(body)
    house.queue.close()
    house.queue._thread.shutdown()
    assert [body[:1] for body in house.writer.bodies] == [b"a", b"b"]


@virtual
async def test_the_end_on_a_full_disk_counts_what_is_lost() -> None:
    house = House()
    house.writer.error = OSError("full")
    house.put(b"a")
    house.queue.close()
    house.queue._thread.shutdown()
    assert house.dropped("disk") == 1
    assert house.writer.done == ["close"]


@virtual
async def test_every_series_is_there_from_the_start() -> None:
    found = {(series.labels[1], cells[0]) for series, cells in read(House().registry.segment)}
    assert found == {("recorded", 0.0), ("memory", 0.0), ("disk", 0.0)}
