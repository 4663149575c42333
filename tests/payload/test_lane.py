import os
from pathlib import Path

from gateway.payload.frames import pack
from gateway.payload.lane import Position, following, lanes, lock, position, remember, segment, segments, take
from gateway.payload.writer import Writer


def test_a_lane_has_one_writer_and_a_free_one_is_taken_again(tmp_path: Path) -> None:
    directory = tmp_path / "spool" / "audit"
    first, held = take(directory)
    second, other = take(directory)
    assert (first.name, second.name) == ("0", "1")
    os.close(held)
    assert take(directory)[0] == first
    assert list(lanes(directory)) == [first, second]
    os.close(other)


def test_a_lock_is_held_until_it_is_closed(tmp_path: Path) -> None:
    held = lock(tmp_path / "lock")
    assert held is not None
    assert lock(tmp_path / "lock") is None
    os.close(held)
    assert lock(tmp_path / "lock") is not None


def test_nobody_else_may_read_what_is_spooled(tmp_path: Path) -> None:
    lane, _ = take(tmp_path / "audit")
    Writer(tmp_path / "audit").append(pack([b"s3cret"]))
    assert lane.stat().st_mode & 0o077 == 0
    assert segment(tmp_path / "audit" / "1", 0).stat().st_mode & 0o077 == 0


def test_a_position_is_remembered(tmp_path: Path) -> None:
    assert position(tmp_path) == Position()
    remember(tmp_path, Position(3, 2, 17))
    assert position(tmp_path) == Position(3, 2, 17)
    (tmp_path / "position").write_bytes(b"{")
    assert position(tmp_path) == Position()


def test_numbers_go_on(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    lane = tmp_path / "0"
    assert following(lane) == 0
    writer.append(pack([b"a", b"b"]))
    assert following(lane) == 2
    assert segments(lane) == [0]


def test_a_number_that_was_read_is_not_given_again(tmp_path: Path) -> None:
    """A power failure may take from the file what was sent already."""
    remember(tmp_path, Position(10, 0, 500))
    segment(tmp_path, 0).write_bytes(b"")
    assert following(tmp_path) == 10
