import errno
import os
from pathlib import Path

import msgspec
import pytest

from gateway.payload.frames import head, pack
from gateway.payload.lane import segment, segments
from gateway.payload.tail import Tail
from gateway.payload.writer import Writer, segment_size


def read(lane: Path) -> list[bytes]:
    records = Tail(lane).read(10_000, 1 << 30)
    return [msgspec.msgpack.decode(record.data, type=bytes) for record in records]


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 50)
    for record in (b"0123456789", b"0123456789", b"x"):
        writer.append(pack([record]))
    assert segments(tmp_path / "0") == [0, 2]


def test_an_heir_goes_on_behind_what_is_whole(tmp_path: Path) -> None:
    dead = Writer(tmp_path)
    dead.append(pack([b"a", b"b"]))
    dead.close()
    with open(segment(tmp_path / "0", 0), "ab") as file:
        file.write(head(pack([b"half"]))[:6])
    heir = Writer(tmp_path)
    heir.append(pack([b"c"]))
    assert segments(tmp_path / "0") == [0, 2]


def test_an_heir_of_one_who_died_in_his_first_record(tmp_path: Path) -> None:
    dead = Writer(tmp_path)
    dead.close()
    segment(tmp_path / "0", 0).write_bytes(head(pack([b"half"])) + b"ha")
    Writer(tmp_path).append(pack([b"c"]))
    assert read(tmp_path / "0") == [b"c"]


def test_a_frame_holds_many_records(tmp_path: Path) -> None:
    records = [b"%d" % number for number in range(2000)]
    writer = Writer(tmp_path)
    writer.append(pack(records))
    writer.append(pack([b"a"]))
    assert read(tmp_path / "0") == [*records, b"a"]


@pytest.mark.parametrize("fails", ["error", "short"])
def test_a_full_disk_leaves_the_segment_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    writer = Writer(tmp_path)
    writer.append(pack([b"a"]))

    def full(descriptor: int, parts: tuple[bytes, ...]) -> int:
        os.write(descriptor, parts[0])
        if fails == "error":
            raise OSError(errno.ENOSPC, "full")
        return len(parts[0])

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", full)
        with pytest.raises(OSError):
            writer.append(pack([b"b"]))
    writer.append(pack([b"c"]))
    assert read(tmp_path / "0") == [b"a", b"c"]


def test_sync_needs_no_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.sync()
    writer.append(pack([b"a"]))
    writer.sync()
    writer.close()


def test_what_writers_have_open_is_a_quarter_of_the_bound() -> None:
    assert segment_size(1 << 30, 4) == 16 << 20
    assert segment_size(64 << 20, 4) == 4 << 20
    assert segment_size(1 << 20, 64) == 64 << 10
