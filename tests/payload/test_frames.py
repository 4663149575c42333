from io import BytesIO

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.payload.frames import Frame, frames, head, pack, unpack

FRAMES = st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4).map(pack), max_size=5)


def written(found: list[Frame]) -> bytes:
    return b"".join(head(frame) + frame.data for frame in found)


def read(data: bytes) -> list[Frame]:
    return [frame for frame, _ in frames(BytesIO(data))]


@given(st.lists(st.binary(max_size=40), min_size=1))
def test_what_is_packed_is_unpacked(records: list[bytes]) -> None:
    frame = pack(records)
    assert frame.records == len(records)
    assert [msgspec.msgpack.decode(record) for record in unpack(frame)] == records


@given(FRAMES)
def test_what_is_written_is_read(found: list[Frame]) -> None:
    assert read(written(found)) == found


@given(FRAMES, st.data())
def test_of_a_file_that_is_cut_the_whole_frames_are_read(whole: list[Frame], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(written(whole))))
    found = read(written(whole)[:cut])
    assert found == whole[: len(found)]
    assert len(written(whole[: len(found) + 1])) > cut or len(found) == len(whole)


@given(FRAMES.filter(bool), st.data())
def test_a_byte_that_changed_ends_the_file(whole: list[Frame], data: st.DataObject) -> None:
    changed = bytearray(written(whole))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    found = read(bytes(changed))
    assert found == whole[: len(found)]
    assert len(found) < len(whole)


@given(FRAMES)
def test_every_end_is_a_place_to_go_on_from(whole: list[Frame]) -> None:
    file = BytesIO(written(whole))
    for count, (_, end) in enumerate(list(frames(file)), 1):
        assert [later for later, _ in frames(file, end)] == whole[count:]


def test_zeros_are_no_frames() -> None:
    assert read(bytes(100)) == []
