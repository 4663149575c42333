from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from gateway.message import Record
from gateway.telemetry.access import Lines
from gateway.telemetry.journals import Journals
from gateway.telemetry.metrics import Registry, read


def lines(path: Path, *status: int, format: Literal["json", "text"] = "json") -> Lines:
    records = [Record(5.25, b"POST", b"/a", id=b"id-1", peer=b"10.0.0.1", status=code) for code in status]
    return Lines(str(path), format, len(records), 1_699_999_990.0, msgspec.msgpack.encode(records))


def written(path: Path) -> list[int]:
    return [json.loads(line)["status"] for line in path.read_text().splitlines()]


def dropped(registry: Registry) -> dict[tuple[str, ...], float]:
    return {series.labels: cells[0] for series, cells in read(registry.segment)}


def test_lines_of_all_workers_are_in_one_file(tmp_path: Path) -> None:
    registry, path = Registry.private(), tmp_path / "log"
    journals = Journals(registry)
    assert journals.open(str(path)) is journals.open(str(path))
    journals.write(lines(path, 200, 201))
    journals.write(lines(path, 404))
    journals.flush()
    assert written(path) == [200, 201, 404]
    assert dropped(registry) == {("full",): 0, ("failed",): 0}
    assert repr(journals) == f"<Journals <Journal {path} waiting=0>>"
    journals.close()
    assert repr(journals) == "<Journals >"


@pytest.mark.parametrize(
    ("format", "start"), [("json", '{"ts":"2023-11-14T22:13:15.250000Z","'), ("text", "2023-11-14T22:13:15.250Z 10.0.")]
)
def test_the_time_is_that_of_arrival(tmp_path: Path, format: Literal["json", "text"], start: str) -> None:
    journals = Journals(Registry.private())
    journals.write(lines(tmp_path / "log", 200, format=format))
    journals.close()
    assert (tmp_path / "log").read_text().startswith(start)


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Journals(Registry.private()).open(str(tmp_path / "none" / "log"))


def test_a_new_configuration_may_have_another_file(tmp_path: Path) -> None:
    journals = Journals(Registry.private())
    for name in ("old", "new"):
        journals.open(str(tmp_path / name))
        journals.keep(str(tmp_path / name))
    assert "new" in repr(journals)
    assert "old" not in repr(journals)
    journals.write(lines(tmp_path / "new", 200))
    journals.write(lines(tmp_path / "old", 201))  # of a request that the generation before has answered
    journals.close()
    assert (written(tmp_path / "new"), written(tmp_path / "old")) == ([200], [201])


def test_late_lines_whose_file_is_gone_for_good_are_dropped_counted_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry.private()
    journals = Journals(registry)
    journals.write(lines(tmp_path / "none" / "log", 200, 201))
    journals.write(lines(tmp_path / "none" / "log", 202))
    assert dropped(registry)["full",] == 3
    path = tmp_path / "none" / "log"
    assert caplog.messages == [f"access log: path={path} dropped=2 reason=full: No such file or directory"]


def test_reopening_goes_on_in_new_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    journals = Journals(Registry.private())
    journals.write(lines(path, 200))
    journals.flush()
    path.rename(tmp_path / "old")
    journals.write(lines(path, 201))
    journals.reopen()
    journals.write(lines(path, 202))
    journals.close()
    assert (written(tmp_path / "old"), written(path)) == ([200, 201], [202])
