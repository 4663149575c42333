from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.formats import blobs


def strings(*values: bytes) -> bytes:
    return b"".join(pack("<I", len(value)) + value for value in values)


@pytest.mark.parametrize(
    ("datatype", "size"),
    [
        *(("BOOL", 1), ("UINT8", 1), ("UINT16", 2), ("UINT32", 4), ("UINT64", 8)),
        *(("INT8", 1), ("INT16", 2), ("INT32", 4), ("INT64", 8)),
        *(("FP16", 2), ("BF16", 2), ("FP32", 4), ("FP64", 8)),
    ],
)
def test_elements_of_a_fixed_size(datatype: str, size: int) -> None:
    blob = bytes(range(5 * size))
    assert blobs.known(datatype)
    assert [bytes(piece) for piece in blobs.cut(datatype, memoryview(blob), [2, 0, 3])] == [
        blob[: 2 * size],
        b"",
        blob[2 * size :],
    ]
    for wrong in ([4], [6], [2, 2], []):
        with pytest.raises(ValueError, match="are due"):
            blobs.cut(datatype, memoryview(blob), wrong)


@given(st.lists(st.lists(st.binary(max_size=6), max_size=4), max_size=5))
def test_strings_are_cut_between_strings(runs: list[list[bytes]]) -> None:
    pieces = [strings(*run) for run in runs]
    cut = blobs.cut("BYTES", memoryview(b"".join(pieces)), [len(run) for run in runs])
    assert [bytes(piece) for piece in cut] == pieces


def test_empty_strings_and_nul() -> None:
    blob = strings(b"", b"a\0b", b"")
    assert [bytes(piece) for piece in blobs.cut("BYTES", memoryview(blob), [1, 1, 1])] == [
        b"\0\0\0\0",
        b"\3\0\0\0a\0b",
        b"\0\0\0\0",
    ]


@pytest.mark.parametrize(
    ("blob", "count"),
    [
        (strings(b"a"), 2),
        (strings(b"a", b"b"), 1),
        (strings(b"abc")[:-1], 1),
        (strings(b"abc") + b"\0\0", 2),
        (b"\xff\xff\xff\xff", 1),
        (b"", 10**18),
    ],
)
def test_strings_that_do_not_add_up(blob: bytes, count: int) -> None:
    with pytest.raises(ValueError):
        blobs.cut("BYTES", memoryview(blob), [count])


def test_other_types_are_not_known() -> None:
    assert blobs.known("BYTES")
    assert not blobs.known("FP8")
