from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.config.telemetry import AccessLog as Config
from gateway.message import Record
from gateway.telemetry.access import BATCH, DELAY, AccessLog, Lines
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual


def ended(status: int = 200) -> Record:
    return Record(5.25, b"POST", b"/a", id=b"id-1", peer=b"10.0.0.1", received=12, graph="iris", status=status, sent=34)


class Log:
    """An access log. The clock of its records is at 10 at the Unix time of 1,700,000,000."""

    def __init__(self, random: list[float] | None = None, **options: object) -> None:
        self.registry = Registry.private()
        self.sent: list[Lines] = []
        self.room = True
        config = msgspec.convert({"path": "/a/log", **options}, Config)
        draw = iter(random or ()).__next__
        self.log = AccessLog(config, self.registry, self._send, draw, lambda: 10.0, lambda: 1_700_000_000.0)

    def _send(self, lines: Lines) -> bool:
        if self.room:
            self.sent.append(lines)
        return self.room

    def statuses(self) -> list[list[int]]:
        """Of what was sent together."""
        found = [msgspec.msgpack.decode(lines.records, type=list[Record]) for lines in self.sent]
        assert [len(records) for records in found] == [lines.count for lines in self.sent]
        return [[record.status for record in records] for records in found]


@virtual
async def test_records_leave_together_a_moment_later() -> None:
    log = Log()
    log.log.note(ended(200))
    await asyncio.sleep(DELAY / 2)
    log.log.note(ended(201))
    assert log.sent == []
    assert repr(log.log) == "<AccessLog /a/log 2>"
    await asyncio.sleep(DELAY / 2 + 0.001)
    assert log.statuses() == [[200, 201]]
    log.log.note(ended(202))
    await asyncio.sleep(DELAY + 0.001)
    assert log.statuses() == [[200, 201], [202]]


@virtual
async def test_many_do_not_wait() -> None:
    log = Log()
    for _ in range(BATCH + 1):
        log.log.note(ended())
    assert log.sent == []
    await asyncio.sleep(0.001)
    assert [lines.count for lines in log.sent] == [BATCH + 1]


@virtual
async def test_errors_only() -> None:
    log = Log(errorsOnly=True)
    for status in (200, 302, 399, 400, 499, 503):
        log.log.note(ended(status))
    log.log.hand_on()
    assert log.statuses() == [[400, 499, 503]]


@virtual
async def test_a_share_is_drawn() -> None:
    log = Log([0.24, 0.25, 0.0, 0.9], sampleRate=0.25)
    for status in (200, 201, 202, 203):
        log.log.note(ended(status))
    log.log.hand_on()
    assert log.statuses() == [[200, 202]]


@virtual
async def test_all_leaves_at_the_end_with_what_it_takes_to_write_it() -> None:
    log = Log(format="text")
    log.log.note(ended(200))
    log.log.close()
    log.log.close()
    (lines,) = log.sent
    assert (lines.path, lines.format, lines.count, lines.epoch) == ("/a/log", "text", 1, 1_699_999_990.0)
    assert msgspec.msgpack.decode(lines.records, type=list[Record]) == [ended(200)]


@virtual
async def test_what_finds_no_room_is_dropped_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    log.room = False
    log.log.note(ended())
    log.log.note(ended())
    log.log.hand_on()
    assert {series.labels: cells[0] for series, cells in read(log.registry.segment)} == {("full",): 2}
    assert caplog.messages == ["access log: path=/a/log dropped=2 reason=full"]
