from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from gateway.config.schema import Config
from gateway.config.telemetry import AccessLog, Telemetry
from gateway.control.channel import Spans
from gateway.control.intake import Intake
from gateway.message import Record
from gateway.telemetry.access import Lines
from gateway.telemetry.metrics import Registry
from tests.support.collector import collector
from tests.support.service import ask
from tests.support.spans import Spans as Traced


def logging(path: Path, enabled: bool = True) -> Config:
    return Config(telemetry=Telemetry(access_log=AccessLog(path=str(path), enabled=enabled)))


def lines(path: Path, status: int) -> Lines:
    return Lines(str(path), "json", 1, 0.0, msgspec.msgpack.encode([Record(status=status)]))


def written(path: Path) -> list[int]:
    return [json.loads(line)["status"] for line in path.read_text().splitlines()]


async def test_lines_go_to_their_file_and_spans_nowhere_unless_somebody_wants_them(tmp_path: Path) -> None:
    intake = Intake({}, Registry.private(), 1)
    assert intake.open(logging(tmp_path / "log")) == ()
    intake.take(lines(tmp_path / "log", 200))
    intake.take(Spans(1, b""))
    assert not intake.traced
    await intake.close()
    assert written(tmp_path / "log") == [200]


async def test_spans_go_to_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    span = Traced().tracer().begin(ask())
    assert span is not None
    async with collector() as traces:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url}
        monkeypatch.setenv(*environ.popitem())
        intake = Intake({"OTEL_TRACES_EXPORTER": "otlp"}, Registry.private(), 1)
        assert intake.traced
        intake.take(Spans(1, msgspec.msgpack.encode([span.ended()])))
        await intake.close()
    assert [arrived.id for arrived in traces.spans] == [span.id.decode()]


async def test_a_log_that_cannot_be_opened_is_told_in_words(tmp_path: Path) -> None:
    intake = Intake({}, Registry.private(), 1)
    path = tmp_path / "none" / "log"
    assert intake.open(logging(path)) == (f"cannot open the access log {path}: No such file or directory",)
    assert intake.open(logging(path, enabled=False)) == intake.open(Config()) == ()


async def test_files_are_replaced_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    intake = Intake({}, Registry.private(), 1)
    intake.take(lines(path, 200))
    intake.keep(logging(path))
    intake._journals.flush()
    path.rename(tmp_path / "old")
    intake.reopen()
    intake.take(lines(path, 201))
    intake.keep(Config())
    await intake.close()
    assert (written(tmp_path / "old"), written(path)) == ([200], [201])
