import os
from pathlib import Path

import msgspec

from gateway.payload.frames import pack
from gateway.payload.lane import segment
from gateway.payload.spool import Spool
from gateway.payload.writer import Writer


def written(directory: Path, *batches: bytes, age: float = 0.0) -> Writer:
    """A lane; every record is 16 bytes in a segment of its own, last written to ``age`` and so on."""
    writer = Writer(directory, 1)
    lane = writer._lane
    for number, batch in enumerate(batches):
        writer.append(pack([batch]))
        os.utime(segment(lane, number), (age + number, age + number))
    return writer


def rest(spool: Spool) -> list[bytes]:
    records = [record for tail in spool.tails() for _ in range(9) for record in tail.read(1, 1) if tail.done(record)]
    return [msgspec.msgpack.decode(record.data, type=bytes) for record in records]


def test_lanes_are_found_when_they_come(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1000)
    assert spool.tails() == []
    _ = written(tmp_path, b"a")
    assert rest(spool) == [b"a"]
    other = written(tmp_path, b"b")
    assert other
    assert rest(spool) == [b"b"]


def test_the_oldest_goes_first_whatever_its_lane(tmp_path: Path) -> None:
    first = written(tmp_path, b"a", b"c", b"e", age=10.0)
    second = written(tmp_path, b"b", b"d", b"f", age=5.0)
    assert first
    assert second
    spool = Spool(tmp_path, 48)
    spool.tails()
    assert spool.shrink() == 3
    assert rest(spool) == [b"c", b"e", b"f"]


def test_within_its_bound_nothing_is_lost_and_beyond_it_what_is_being_written_stays(tmp_path: Path) -> None:
    writer = written(tmp_path, b"a", b"b")
    assert writer
    spool = Spool(tmp_path, 32)
    spool.tails()
    assert spool.shrink() == 0
    spool.bound = 1
    assert spool.shrink() == 1
    assert rest(spool) == [b"b"]


def test_what_waits_and_what_is_missing(tmp_path: Path) -> None:
    writer = written(tmp_path, b"a", b"b", b"c")
    segment(writer._lane, 1).write_bytes(b"damaged")
    spool = Spool(tmp_path, 1000)
    spool.tails()
    assert spool.waiting() == 39
    assert rest(spool) == [b"a", b"c"]
    assert spool.waiting() == 0
    assert spool.missing() == 1
    assert spool.missing() == 0


def test_how_far_it_was_read_is_remembered(tmp_path: Path) -> None:
    writer = written(tmp_path, b"a", b"b")
    assert writer
    spool = Spool(tmp_path, 1000)
    rest(spool)
    spool.save()
    assert rest(Spool(tmp_path, 1000)) == []
