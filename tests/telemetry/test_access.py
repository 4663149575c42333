import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from gateway.config.telemetry import AccessLog as Config
from gateway.message import Record
from gateway.telemetry.access import BATCH, DELAY, AccessLog
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual


def ended(status: int = 200) -> Record:
    return Record(5.25, b"POST", b"/a", id=b"id-1", peer=b"10.0.0.1", received=12, graph="iris", status=status, sent=34)


class Log:
    """An access log in a file. The clock of its records is at 10 at the Unix time of 1,700,000,000."""

    def __init__(self, path: Path, random: list[float] | None = None, **options: object) -> None:
        self.path = path
        self.registry = Registry.private()
        config = msgspec.convert({"path": str(path), **options}, Config)
        draw = iter(random or ()).__next__
        self.log = AccessLog(config, self.registry, draw, clock=lambda: 10.0, wall=lambda: 1_700_000_000.0)

    def written(self) -> list[int]:
        """The status of each line."""
        self.log.journal.flush(10.0)
        return [json.loads(text)["status"] for text in self.path.read_text().splitlines()]


@virtual
async def test_lines_are_written_together_a_moment_later(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.log.note(ended(200))
    await asyncio.sleep(DELAY / 2)
    log.log.note(ended(201))
    assert log.written() == []
    assert repr(log.log) == f"<AccessLog 2 <Journal {log.path} waiting=0>>"
    await asyncio.sleep(DELAY / 2 + 0.001)
    assert log.written() == [200, 201]
    log.log.note(ended(202))
    await asyncio.sleep(DELAY + 0.001)
    assert log.written() == [200, 201, 202]
    log.log.close()


@virtual
async def test_many_lines_do_not_wait(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    for _ in range(BATCH + 1):
        log.log.note(ended())
    assert log.written() == []
    await asyncio.sleep(0.001)
    assert len(log.written()) == BATCH + 1
    log.log.close()


@virtual
async def test_errors_only(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", errorsOnly=True)
    for status in (200, 302, 399, 400, 499, 503):
        log.log.note(ended(status))
    log.log.hand_on()
    assert log.written() == [400, 499, 503]
    log.log.close()


@virtual
async def test_a_share_is_drawn(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", [0.24, 0.25, 0.0, 0.9], sampleRate=0.25)
    for status in (200, 201, 202, 203):
        log.log.note(ended(status))
    log.log.hand_on()
    assert log.written() == [200, 202]
    log.log.close()


@virtual
async def test_what_was_noted_before_a_reopening_is_in_the_old_file(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.log.note(ended(200))
    log.path.rename(tmp_path / "old")
    log.log.reopen()
    log.log.note(ended(500))
    log.log.hand_on()
    assert log.written() == [500]
    assert '"status":200' in (tmp_path / "old").read_text()
    log.log.close()


@pytest.mark.parametrize(
    ("format", "start"), [("json", '{"ts":"2023-11-14T22:13:15.250000Z","'), ("text", "2023-11-14T22:13:15.250Z 10.0.")]
)
@virtual
async def test_all_is_written_at_the_end_with_the_time_of_arrival(tmp_path: Path, format: str, start: str) -> None:
    log = Log(tmp_path / "log", format=format)
    log.log.note(ended(200))
    log.log.close()
    log.log.journal._thread.join(10.0)
    assert log.path.read_text().startswith(start)


@virtual
async def test_every_reason_is_counted_from_the_start(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    assert {series.labels: cells[0] for series, cells in read(log.registry.segment)} == {("full",): 0, ("failed",): 0}
    log.log.close()
