import errno
import os
from pathlib import Path

import orjson
import pytest

from gateway.config.payload import Rotation, Sink
from gateway.payload.dialect import CloudEvent
from gateway.payload.sinks import open_sink
from gateway.payload.sinks.file import FileSink
from gateway.payload.sinks.sink import SENT


def events(*ids: str) -> list[CloudEvent]:
    return [CloudEvent({"id": one}, "application/json", b"[1]") for one in ids]


def ids(file: Path) -> list[str]:
    return [orjson.loads(line)["id"] for line in file.read_bytes().splitlines()]


async def test_one_event_a_line(tmp_path: Path) -> None:
    sink = open_sink(Sink(type="file", path=str(tmp_path / "events")))
    assert await sink.send(events("a", "b")) == SENT
    assert await sink.send(events("c")) == SENT
    await sink.close()
    assert ids(tmp_path / "events") == ["a", "b", "c"]


async def test_a_file_that_was_moved_away_begins_anew(tmp_path: Path) -> None:
    sink = FileSink(str(tmp_path / "events"), Rotation())
    await sink.send(events("a"))
    (tmp_path / "events").rename(tmp_path / "moved")
    await sink.send(events("b"))
    assert ids(tmp_path / "events") == ["b"]


@pytest.mark.parametrize(
    ("keep", "kept"), [(0, ["d"]), (1, ["d", "c"]), (2, ["d", "c", "b"]), (9, ["d", "c", "b", "a"])]
)
async def test_it_is_rotated(tmp_path: Path, keep: int, kept: list[str]) -> None:
    sink = FileSink(str(tmp_path / "events"), Rotation(max_bytes=1, keep=keep))
    for one in "abcd":
        await sink.send(events(one))
    files = [tmp_path / "events", *(tmp_path / f"events.{number}" for number in range(1, 10))]
    assert [one for file in files if file.exists() for one in ids(file)] == kept


async def test_no_room_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = FileSink(str(tmp_path / "events"), Rotation())
    await sink.send(events("a"))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
        verdict = await sink.send(events("b"))
    assert (verdict.result, verdict.cause) == ("retry", os.strerror(errno.ENOSPC))
    await sink.send(events("b"))
    assert ids(tmp_path / "events") == ["a", "b"]


async def test_a_directory_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    sink = FileSink(str(tmp_path / "missing" / "events"), Rotation())
    assert (await sink.send(events("a"))).result == "retry"
