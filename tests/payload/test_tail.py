import errno
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.payload.frames import head, pack
from gateway.payload.lane import Position, remember, segment, segments
from gateway.payload.tail import Record, Tail
from gateway.payload.writer import Writer


def lane(directory: Path, *batches: list[bytes], most: int = 1) -> Path:
    """Every batch in a frame, and in a segment of its own."""
    writer = Writer(directory, most)
    for batch in batches:
        writer.append(pack(batch))
    writer.close()
    return directory / "0"


def data(record: Record) -> bytes:
    return msgspec.msgpack.decode(record.data, type=bytes)


def rest(tail: Tail) -> list[bytes]:
    """Read to the end."""
    found = []
    while records := tail.read(2, 1 << 20):
        for record in records:
            assert tail.done(record)
            found.append(data(record))
    return found


def test_records_come_in_order_across_segments(tmp_path: Path) -> None:
    assert rest(Tail(lane(tmp_path, [b"a", b"b", b"c"], [b"d"], [b"e"]))) == [b"a", b"b", b"c", b"d", b"e"]


def test_reading_is_not_going_on(tmp_path: Path) -> None:
    tail = Tail(lane(tmp_path, [b"a", b"b"]))
    assert [data(record) for record in tail.read(1, 100)] == [b"a"]
    (a, b) = tail.read(2, 100)
    assert not tail.done(b)
    assert tail.done(a)
    assert tail.holds(b)


def test_as_much_as_asked_for(tmp_path: Path) -> None:
    tail = Tail(lane(tmp_path, [b"0123", b"4567", b"89"]))
    assert len(tail.read(10, 8)) == 2
    assert len(tail.read(10, 1)) == 1


def test_what_is_written_later_is_read_later(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    tail = Tail(tmp_path / "0")
    assert rest(tail) == []
    writer.append(pack([b"a"]))
    assert rest(tail) == [b"a"]
    writer.append(pack([b"b"]))
    assert rest(tail) == [b"b"]


def test_a_successor_goes_on_and_finished_segments_are_gone(tmp_path: Path) -> None:
    tail = Tail(lane(tmp_path, [b"a"], [b"b"], [b"c"]))
    for _ in range(2):
        assert tail.done(tail.read(1, 1)[0])
    tail.save()
    assert segments(tail.lane) == [1, 2]
    assert rest(Tail(tail.lane)) == [b"c"]


def test_what_was_not_saved_comes_again(tmp_path: Path) -> None:
    tail = Tail(lane(tmp_path, [b"a"], [b"b"]))
    rest(tail)
    assert rest(Tail(tail.lane)) == [b"a", b"b"]


def test_half_a_record_is_waited_for_until_there_is_a_later_segment(tmp_path: Path) -> None:
    directory = lane(tmp_path, [b"a"])
    with open(segment(directory, 0), "ab") as file:
        file.write(head(pack([b"half"])) + b"ha")
    tail = Tail(directory)
    assert rest(tail) == [b"a"]
    assert tail.missing == 0
    Writer(tmp_path).append(pack([b"b"]))
    assert rest(tail) == [b"b"]
    assert tail.missing == 0


def test_records_that_are_damaged_are_counted_and_passed_over(tmp_path: Path) -> None:
    directory = lane(tmp_path, [b"a"], [b"b", b"c"], [b"d"], most=35)
    file = segment(directory, 0)
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    tail = Tail(directory)
    assert rest(tail) == [b"a", b"d"]
    assert tail.missing == 2


def test_the_oldest_segment_is_dropped_and_what_was_read_of_it_is_no_loss(tmp_path: Path) -> None:
    tail = Tail(lane(tmp_path, [b"a", b"b", b"c"], [b"d"]))
    (a, b) = tail.read(2, 100)
    tail.done(a)
    assert tail.drop_oldest() == 2
    assert not tail.done(b)
    assert rest(tail) == [b"d"]
    assert tail.missing == 0


def test_a_successor_goes_on_within_a_frame(tmp_path: Path) -> None:
    tail = Tail(lane(tmp_path, [b"a", b"b", b"c"]))
    tail.done(tail.read(1, 100)[0])
    tail.save()
    assert rest(Tail(tail.lane)) == [b"b", b"c"]


@pytest.mark.parametrize("goes_on", ["read", "dropped"])
def test_a_disk_that_is_full_gets_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_on: str) -> None:
    tail = Tail(lane(tmp_path, [b"a"], [b"b"], [b"c"]))
    whole = segments(tail.lane)

    def full(lane: Path, place: Position) -> None:
        if segments(lane) == whole:
            raise OSError(errno.ENOSPC, "full")
        remember(lane, place)

    monkeypatch.setattr("gateway.payload.tail.remember", full)
    if goes_on == "read":
        for _ in range(2):
            tail.done(tail.read(1, 1)[0])
        tail.save()
    else:
        assert tail.drop_oldest() == 1
    assert segments(tail.lane) == [1, 2]
    assert rest(Tail(tail.lane)) == ([b"c"] if goes_on == "read" else [b"b", b"c"])


def test_the_last_segment_stays(tmp_path: Path) -> None:
    tail = Tail(lane(tmp_path, [b"a"]))
    assert tail.drop_oldest() == 0
    assert tail.oldest() is None
    assert rest(tail) == [b"a"]


def test_a_segment_that_was_read_is_no_loss(tmp_path: Path) -> None:
    tail = Tail(lane(tmp_path, [b"a"], [b"b"]))
    rest(tail)
    assert tail.drop_oldest() == 0


def test_sizes(tmp_path: Path) -> None:
    tail = Tail(lane(tmp_path, [b"a"], [b"b"]))
    assert tail.sizes() == (32, 32)
    tail.done(tail.read(1, 1)[0])
    assert tail.sizes() == (32, 16)
    rest(tail)
    assert tail.sizes() == (32, 0)


STEPS = st.lists(st.sampled_from(["write", "write", "read", "drop", "save", "crash", "heir"]), max_size=40)


@settings(max_examples=60)
@given(STEPS, st.integers(1, 4))
def test_every_record_is_read_or_counted_as_dropped(steps: list[str], together: int) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        writer, written, read, dropped = Writer(directory, 60), 0, [], 0
        tail = Tail(directory / "0")
        for step in steps:
            if step == "write":
                writer.append(pack([b"%d" % number for number in range(written, written + together)]))
                written += together
            elif step == "read":
                for record in tail.read(2, 100):
                    tail.done(record)
                    read.append(int(data(record)))
            elif step == "drop":
                dropped += tail.drop_oldest()
            elif step == "save":
                tail.save()
            elif step == "crash":
                tail = Tail(directory / "0")
            else:
                writer.close()
                writer = Writer(directory, 60)
        read += [int(found) for found in rest(tail)]
        assert len(set(read)) + dropped >= written
        assert tail.missing == 0
        if "crash" not in steps:
            assert read == sorted(set(read))
            assert len(read) + dropped == written
