import os

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.segment import Segment, create


def contents(segment: Segment) -> list[tuple[bytes, list[float]]]:
    return [(key, list(cells)) for key, cells in segment.records()]


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(1, 9))))
def test_records_come_back_in_order_with_cells_of_zero(wanted: list[tuple[bytes, int]]) -> None:
    segment = Segment.private(1 << 16)
    for key, count in wanted:
        assert segment.append(key, count) is not None
    assert contents(segment) == [(key, [0.0] * count) for key, count in wanted]


@given(st.lists(st.integers(0, 40)), st.lists(st.integers(0, 40)))
def test_what_is_new_since_an_earlier_look(before: list[int], after: list[int]) -> None:
    segment = Segment.private(1 << 16)
    for length in before:
        segment.append(b"x" * length, 1)
    seen = segment.used
    for length in after:
        segment.append(b"y" * length, 2)
    assert [key for key, _ in segment.records(seen)] == [b"y" * length for length in after]
    assert [key for key, _ in segment.records(0, seen)] == [b"x" * length for length in before]


def test_what_one_attachment_writes_the_other_reads() -> None:
    fd = create("test")
    writer, reader = Segment.attach(fd), Segment.attach(fd)
    os.close(fd)
    cells = writer.append(b"key", 2)
    assert cells is not None
    cells[1] = 2.5
    assert contents(reader) == [(b"key", [0.0, 2.5])]


def test_a_full_segment_takes_no_more_and_stays_readable() -> None:
    segment = Segment.private(64)
    assert segment.append(b"12345678", 5) is not None
    assert segment.append(b"", 1) is None
    assert contents(segment) == [(b"12345678", [0.0] * 5)]


def test_a_record_that_a_killed_writer_left_half_done_is_neither_seen_nor_inherited() -> None:
    segment = Segment.private(128)
    segment.append(b"whole", 1)
    used = segment._words[0]
    segment.append(b"torn", 1)[0] = 9.0  # type: ignore[index]
    segment._words[0] = used  # as if the writer had died just before it published
    assert contents(segment) == [(b"whole", [0.0])]
    segment.append(b"next", 1)
    assert contents(segment) == [(b"whole", [0.0]), (b"next", [0.0])]


def test_repr_tells_how_full_it_is() -> None:
    segment = Segment.private(128)
    segment.append(b"key", 1)
    assert repr(segment) == "<Segment 32 of 128 bytes used>"
