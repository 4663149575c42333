from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from gateway.payload.frames import frames, head

RECORDS = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


def written(records: list[bytes]) -> bytes:
    return b"".join(head(record) + record for record in records)


@given(RECORDS)
def test_what_is_written_is_read(records: list[bytes]) -> None:
    assert [frame.record for frame in frames(BytesIO(written(records)))] == records


@given(RECORDS, st.data())
def test_of_a_file_that_is_cut_the_whole_records_are_read(records: list[bytes], data: st.DataObject) -> None:
    whole = written(records)
    cut = data.draw(st.integers(0, len(whole)))
    found = list(frames(BytesIO(whole[:cut])))
    assert [frame.record for frame in found] == records[: len(found)]
    assert len(written(records[: len(found) + 1])) > cut or len(found) == len(records)


@given(RECORDS.filter(bool), st.data())
def test_a_byte_that_changed_ends_the_file(records: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(written(records))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    found = [frame.record for frame in frames(BytesIO(bytes(whole)))]
    assert found == records[: len(found)]
    assert len(found) < len(records)


@given(RECORDS)
def test_every_end_is_a_place_to_go_on_from(records: list[bytes]) -> None:
    file = BytesIO(written(records))
    for count, frame in enumerate(list(frames(file)), 1):
        assert [later.record for later in frames(file, frame.end)] == records[count:]


def test_zeros_are_no_records() -> None:
    assert list(frames(BytesIO(bytes(100)))) == []
