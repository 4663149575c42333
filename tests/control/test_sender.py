import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from gateway.config.payload import PayloadSinks, Sink, Spool
from gateway.config.schema import Config
from gateway.control.sender import SenderProcess
from gateway.payload.sender import NICE
from gateway.payload.writer import Writer
from gateway.telemetry.segment import create
from tests.support.events import ids, named


@pytest.fixture
async def sender() -> AsyncIterator[SenderProcess]:
    sender = SenderProcess(create("test"), "info")
    yield sender
    await sender.close()


def config(out: Path, spool: Path | None = None) -> Config:
    sink = Sink(type="file", path=str(out), spool=Spool(path=spool and str(spool)))
    return Config(payload_log=PayloadSinks(sinks={"s": sink}))


def write(config: Config, name: str) -> None:
    writer = Writer(Path(config.payload_log.sinks["s"].spool.path or "") / "s")
    writer.append(named(name))
    writer.close()


async def arrived(out: Path, *names: str) -> None:
    async with asyncio.timeout(30):
        while _ids(out) != ids(names):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _ids(out: Path) -> list[str]:
    return [orjson.loads(line)["id"] for line in out.read_bytes().splitlines()] if out.exists() else []


async def test_without_sinks_there_is_none(sender: SenderProcess) -> None:
    assert sender.placed(Config()) == Config()
    sender.configure(Config())
    await asyncio.sleep(0)
    assert sender._process is None
    assert await sender.flush(1)


async def test_it_gives_way_to_requests(sender: SenderProcess, tmp_path: Path) -> None:
    placed = sender.placed(config(tmp_path / "out", tmp_path / "spool"))
    write(placed, "a")
    sender.configure(placed)
    await arrived(tmp_path / "out", "a")
    assert sender._process is not None
    ours, its = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, sender._process.pid))
    assert its == min(19, ours + NICE)


async def test_it_sends_and_ends(sender: SenderProcess, tmp_path: Path) -> None:
    placed = sender.placed(config(tmp_path / "out", tmp_path / "spool"))
    write(placed, "a")
    sender.configure(placed)
    await arrived(tmp_path / "out", "a")
    write(placed, "b")
    assert await sender.flush(30)
    assert _ids(tmp_path / "out") == ids("ab")


async def test_one_that_dies_is_replaced_and_nothing_is_lost(sender: SenderProcess, tmp_path: Path) -> None:
    placed = sender.placed(config(tmp_path / "out", tmp_path / "spool"))
    write(placed, "a")
    sender.configure(placed)
    await arrived(tmp_path / "out", "a")
    await asyncio.sleep(0.3)  # by now it has remembered that
    assert sender._process is not None
    os.kill(sender._process.pid, signal.SIGKILL)
    write(placed, "b")
    await arrived(tmp_path / "out", "a", "b")


async def test_a_spool_without_a_path_is_in_memory_and_does_not_outlive_us(
    sender: SenderProcess, tmp_path: Path
) -> None:
    placed = sender.placed(config(tmp_path / "out"))
    directory = Path(placed.payload_log.sinks["s"].spool.path or "")
    assert directory.is_relative_to("/dev/shm")
    assert sender.placed(config(tmp_path / "out")) == placed
    write(placed, "a")
    sender.configure(placed)
    await arrived(tmp_path / "out", "a")
    await sender.close()
    assert directory.name not in os.listdir("/dev/shm")


async def test_what_would_be_lost_at_the_end_makes_it_unclean(sender: SenderProcess, tmp_path: Path) -> None:
    placed = sender.placed(config(tmp_path / "missing" / "out"))
    sender.configure(placed)
    async with asyncio.timeout(30):
        while sender._channel is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    write(placed, "a")
    assert not await sender.flush(0.2)


async def test_a_program_that_is_not_there_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sender = SenderProcess(create("test"), "info", ["/no/such/python"])
    sender.configure(config(tmp_path / "out", tmp_path))
    await asyncio.sleep(0.2)
    assert caplog.messages[0] == "cannot start the sender of payload events: No such file or directory"
    assert len(caplog.messages) > 1
    await sender.close()
