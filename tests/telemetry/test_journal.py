import os
import select
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry import journal
from gateway.telemetry.journal import LARGEST, MOST, Journal, pieces
from gateway.telemetry.metrics import Counter, Registry


def counters() -> tuple[Counter, Counter]:
    registry = Registry.private()
    name = "gateway_access_log_dropped_total"
    return registry.counter(name, reason="full"), registry.counter(name, reason="failed")


def opened(path: Path) -> Journal:
    return Journal(str(path), *counters())


def ended(one: Journal) -> None:
    assert not one.ended(0.0)
    one.close()
    assert one.ended(10.0)


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    one = opened(path)
    one.write(b"a\nb\n")
    one.write(b"c\n")
    ended(one)
    assert path.read_bytes() == b"old\na\nb\nc\n"
    assert path.stat().st_mode & 0o007 == 0o004  # as it was


def test_a_new_file_is_not_for_everyone_to_read(tmp_path: Path) -> None:
    one = opened(tmp_path / "log")
    ended(one)
    assert (tmp_path / "log").stat().st_mode & 0o007 == 0


def test_flush_waits_until_all_is_written(tmp_path: Path) -> None:
    one = opened(tmp_path / "log")
    one.write(b"a\n")
    one.flush(10.0)
    assert (tmp_path / "log").read_bytes() == b"a\n"
    ended(one)


def test_reopening_goes_on_in_a_new_file(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    one = opened(path)
    one.write(b"a\n")
    one.flush(10.0)
    path.rename(old)
    one.write(b"b\n")
    one.reopen()
    one.write(b"c\n")
    ended(one)
    assert (old.read_bytes(), path.read_bytes()) == (b"a\nb\n", b"c\n")


def test_a_file_that_cannot_be_reopened_leaves_the_old_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "sub" / "log"
    path.parent.mkdir()
    one = opened(path)
    path.parent.rename(tmp_path / "moved")
    one.reopen()
    one.write(b"a\n")
    ended(one)
    assert (tmp_path / "moved" / "log").read_bytes() == b"a\n"
    assert f"cannot write to {path}: No such file or directory" in caplog.text


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "sub" / "log")


def test_a_full_disk_costs_lines_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    full, failed = counters()
    one = Journal("/dev/full", full, failed)
    one.write(b"a\nb\n")
    one.write(b"c\n")
    ended(one)
    assert (full.value, failed.value) == (0.0, 3.0)
    assert caplog.messages == ["cannot write to /dev/full: No space left on device"]


def test_who_writes_to_a_reader_that_is_stuck_does_not_wait(tmp_path: Path) -> None:
    full, failed = counters()
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    one = Journal(str(path), full, failed)
    line = b"x" * 1023 + b"\n"
    for _ in range(MOST + 200):
        one.write(line * 4)
    assert full.value > 0
    kept = (MOST + 200) * 4 - full.value
    read = bytearray()
    one.close()
    while one._thread.is_alive() or select.select((reader,), (), (), 0)[0]:
        if select.select((reader,), (), (), 0.01)[0]:
            if not (some := os.read(reader, 1 << 16)):
                break
            read += some
    os.close(reader)
    assert read == line * int(kept)
    assert failed.value == 0


def test_a_pipe_that_somebody_has_made_non_blocking_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    one = Journal(str(path), *counters())
    os.set_blocking(one._file, False)
    lines = (b"x" * 1023 + b"\n") * 128  # twice what a pipe holds
    one.write(lines)
    read = bytearray()
    while len(read) < 128 << 10:
        select.select((reader,), (), (), 10.0)
        read += os.read(reader, 1 << 16)
    ended(one)
    os.close(reader)
    assert read == lines


@pytest.mark.parametrize(("make", "largest"), [(os.mkfifo, select.PIPE_BUF), (Path.touch, LARGEST)])
def test_a_write_is_no_larger_than_what_stays_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], largest: int
) -> None:
    path, sizes = tmp_path / "log", []
    make(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    class Os:
        fstat, close = os.fstat, os.close

        @staticmethod
        def write(file: int, data: memoryview) -> int:
            sizes.append(len(data))
            return len(data)

    one = Journal(str(path), *counters())
    monkeypatch.setattr(journal, "os", Os)
    one.write((b"x" * 99 + b"\n") * 4000)
    ended(one)
    os.close(reader)
    assert sum(sizes) == 400_000
    assert max(sizes) == largest // 100 * 100


def test_standard_output_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    one = Journal("stdout", *counters())
    one.write(b"a\n")
    one.reopen()
    ended(one)
    os.write(1, b"b\n")
    assert capfd.readouterr().out == "a\nb\n"


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"") + b"\n")), st.integers(1, 50))
def test_pieces_are_whole_lines_and_as_large_as_may_be(lines: list[bytes], largest: int) -> None:
    found = list(pieces(b"".join(lines), largest))
    assert b"".join(found) == b"".join(lines)
    assert all(piece.endswith(b"\n") and (len(piece) <= largest or piece.count(b"\n") == 1) for piece in found)
    for one, other in pairwise(found):
        assert len(one) + other.index(b"\n") + 1 > largest


def test_repr() -> None:
    one = Journal("stderr", *counters())
    assert repr(one) == "<Journal stderr waiting=0>"
    ended(one)
    assert threading.active_count() >= 1
