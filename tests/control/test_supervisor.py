import asyncio
from collections.abc import Sequence

import pytest

from gateway.control.channel import (
    Abort,
    Answer,
    AnyCall,
    Commit,
    Describe,
    Description,
    Drain,
    Drained,
    Failed,
    Level,
    Prepare,
    Ready,
    Reopen,
    Serving,
    ToWorker,
    Unready,
)
from gateway.control.supervisor import Backoff, Supervisor, all_of
from gateway.telemetry.metrics import Registry
from tests.support.clock import virtual


class FakeWorker:
    """A worker that obeys. ``refuses`` configurations; prepares for ``slowness`` seconds; ``deaf`` to some calls."""

    def __init__(self, slot: int, number: int) -> None:
        self.slot = slot
        self.pid = 1000 + number
        self.lost = False
        self.heard: list[object] = []
        self.refuses = b""
        self.slowness = 0.0
        self.deaf: Sequence[type] = ()
        self.clean = True
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def tell(self, message: ToWorker) -> None:
        self.heard.append(message)

    async def ask(self, call: AnyCall, seconds: float) -> Answer:
        self.heard.append(call)
        if self.lost:
            return Failed(0, (f"worker {self.slot} died",))
        if isinstance(call, tuple(self.deaf)):
            return Failed(0, ("did not answer",))
        match call:
            case Prepare():
                await asyncio.sleep(self.slowness)
                return Failed(0, ("refused",)) if call.config == self.refuses else Ready(0)
            case Commit():
                return Serving(0)
            case Describe():
                return Description(0, [{"slot": self.slot}])
            case Drain():
                self.die(0)
                return Drained(0, self.clean)

    def generations(self) -> list[int]:
        return [message.generation for message in self.heard if isinstance(message, Commit)]

    def die(self, code: int = -9) -> None:
        self.lost = True
        if not self._end.done():
            self._end.set_result(code)

    def kill(self) -> None:
        self.die()

    async def ended(self) -> int:
        return await asyncio.shield(self._end)


class House:
    """A supervisor of fake workers; ``prepare`` may change each before it is started."""

    def __init__(self, slots: int = 2) -> None:
        self.registries = [Registry.private() for _ in range(slots)]
        self.own = Registry.private()
        self.restarts = self.own.counter("gateway_worker_restarts_total")
        self.alive = self.own.gauge("gateway_workers")
        self.started: list[FakeWorker] = []
        self.times: list[float] = []
        self.failures: list[OSError] = []
        self.launched = asyncio.Event()
        self.changes: dict[str, object] = {}
        segments = [registry.segment for registry in self.registries]
        self.supervisor = Supervisor(self.launch, segments, self.restarts, self.alive)  # type: ignore[arg-type]

    async def launch(self, slot: int) -> FakeWorker:
        self.times.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop()
        worker = FakeWorker(slot, len(self.started))
        for name, value in self.changes.items():
            setattr(worker, name, value)
        self.started.append(worker)
        self.launched.set()
        return worker


async def started(slots: int = 2) -> House:
    house = House(slots)
    assert await house.supervisor.start(b"one") == ()
    return house


def test_backoff_doubles_up_to_its_limit_and_forgets_once_a_worker_lived() -> None:
    backoff = Backoff()
    assert [backoff.after(0.5) for _ in range(9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert backoff.after(1.0) == 0
    assert backoff.after(0.0) == 0.1


@virtual
async def test_start_brings_up_every_slot() -> None:
    house = await started(3)
    assert [worker.slot for worker in house.started] == [0, 1, 2]
    assert [worker.generations() for worker in house.started] == [[1], [1], [1]]
    assert house.supervisor.pids() == {0: 1000, 1: 1001, 2: 1002}
    assert (house.supervisor.serving, house.alive.value, house.restarts.value) == (3, 3, 0)
    await house.supervisor.close()
    assert all(worker.lost for worker in house.started)
    assert house.alive.value == 0


@virtual
async def test_start_tells_why_a_worker_cannot_serve() -> None:
    house = House()
    house.changes["refuses"] = b"one"
    assert await house.supervisor.start(b"one") == ("refused",)
    await house.supervisor.close()


@virtual
async def test_start_tells_why_there_is_no_worker() -> None:
    house = House(1)
    house.failures.append(OSError(11, "Resource temporarily unavailable"))
    assert await house.supervisor.start(b"one") == ("cannot start worker 0: Resource temporarily unavailable",)
    await house.supervisor.close()


@virtual
async def test_a_worker_that_lived_is_replaced_at_once_and_its_gauges_are_forgotten() -> None:
    house = await started()
    house.registries[1].gauge("gateway_connections").set(5)
    await asyncio.sleep(60)
    house.started[1].die()
    await asyncio.sleep(0.01)
    assert [worker.slot for worker in house.started] == [0, 1, 1]
    assert house.times[-1] == 60
    assert house.restarts.value == 1
    assert house.registries[1].gauge("gateway_connections").value == 0
    assert house.supervisor.pids() == {0: 1000, 1: 1002}
    await house.supervisor.close()


@virtual
async def test_workers_that_die_young_are_replaced_ever_more_slowly() -> None:
    house = await started(1)
    house.launched.clear()
    for _ in range(4):
        await asyncio.sleep(0.01)
        house.started[-1].die()
        await house.launched.wait()
        house.launched.clear()
    pauses = [later - former for former, later in zip(house.times, house.times[1:], strict=False)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8], abs=0.02)
    await house.supervisor.close()


@virtual
async def test_the_log_tells_why_a_successor_cannot_serve(caplog: pytest.LogCaptureFixture) -> None:
    house = await started(1)
    house.changes["refuses"] = b"one"
    house.started[0].die()
    await asyncio.sleep(0.15)
    assert "refused" in caplog.text
    assert house.supervisor.serving == 0
    house.changes.clear()
    await asyncio.sleep(1)
    assert house.supervisor.serving == 1
    await house.supervisor.close()


@virtual
async def test_a_reload_prepares_everywhere_before_it_commits_anywhere() -> None:
    house = await started()
    house.started[1].slowness = 5.0
    reloading = asyncio.create_task(house.supervisor.reload(b"two"))
    await asyncio.sleep(4)
    assert [worker.generations() for worker in house.started] == [[1], [1]]
    assert await reloading == ()
    assert [worker.generations() for worker in house.started] == [[1, 2], [1, 2]]
    assert house.supervisor.generation == 2
    await house.supervisor.close()


@virtual
async def test_one_refusal_aborts_the_reload_everywhere() -> None:
    house = await started()
    for worker in house.started:
        worker.refuses = b"two"
    assert await house.supervisor.reload(b"two") == ("refused",)
    assert all(worker.heard[-1] == Abort(2) for worker in house.started)
    assert [worker.generations() for worker in house.started] == [[1], [1]]
    assert house.supervisor.generation == 1
    await house.supervisor.close()


@virtual
async def test_a_worker_that_cannot_commit_is_replaced_by_one_that_can() -> None:
    house = await started()
    house.started[0].deaf = (Commit,)
    assert await house.supervisor.reload(b"two") == ()
    await asyncio.sleep(1)
    assert house.started[0].lost
    assert house.started[-1].generations() == [2]
    await house.supervisor.close()


@virtual
async def test_a_worker_that_comes_up_during_a_reload_catches_up() -> None:
    house = await started()
    await asyncio.sleep(2)
    house.changes["slowness"] = 3.0
    house.started[0].die()
    house.started[1].slowness = 4.0
    reloading = asyncio.create_task(house.supervisor.reload(b"two"))
    await asyncio.sleep(3.5)
    assert house.started[2].generations() == [1]
    assert house.supervisor.serving == 1
    assert await reloading == ()
    await asyncio.sleep(4)
    assert house.started[2].generations() == [1, 2]
    assert house.supervisor.serving == 2
    await house.supervisor.close()


@virtual
async def test_unready_reaches_those_that_come_later() -> None:
    house = await started()
    house.supervisor.unready()
    house.started[0].die()
    await asyncio.sleep(1)
    assert [worker.heard[-1] for worker in house.started[1:]] == [Unready(), Unready()]
    await house.supervisor.close()


@virtual
async def test_the_level_of_the_log_reaches_those_that_come_later() -> None:
    house = await started()
    house.supervisor.log_from("debug")
    house.started[0].die()
    await asyncio.sleep(1)
    assert [worker.heard[-1] for worker in house.started] == [Level("debug")] * 3
    await house.supervisor.close()


@virtual
async def test_all_hand_on_what_waits_for_their_logs() -> None:
    house = await started()
    house.started[1].deaf = (Describe,)  # which holds the others up for a second
    await house.supervisor.reopen()
    assert [worker.heard[-2:] for worker in house.started] == [[Reopen(), Describe()]] * 2
    await house.supervisor.close()


@virtual
async def test_clusters_of_those_that_answer() -> None:
    house = await started()
    house.started[0].deaf = (Describe,)
    assert await house.supervisor.clusters() == {0: None, 1: [{"slot": 1}]}
    await house.supervisor.close()


@pytest.mark.parametrize("clean", [True, False])
@virtual
async def test_drain_tells_whether_all_ended_well_and_replaces_nobody(clean: bool) -> None:
    house = await started()
    house.started[0].clean = clean
    assert await house.supervisor.drain(30) is clean
    await asyncio.sleep(60)
    assert len(house.started) == 2
    await house.supervisor.close()


@virtual
async def test_a_worker_that_dies_in_the_drain_did_not_end_well() -> None:
    house = await started()
    house.started[0].deaf = (Drain,)
    assert await house.supervisor.drain(30) is False
    await house.supervisor.close()


@virtual
async def test_close_ends_a_slot_that_waits_for_its_next_worker() -> None:
    house = await started(1)
    house.started[0].die()
    await asyncio.sleep(0.05)
    await house.supervisor.close()
    await asyncio.sleep(10)
    assert len(house.started) == 1


@virtual
async def test_all_of_keeps_the_order() -> None:
    assert await all_of(asyncio.sleep(3 - n, n) for n in range(3)) == [0, 1, 2]
    assert await all_of(()) == []
