"""Binary tensors, cut between elements: little-endian, row-major, without any framing of their own.

The binary tensor data extension of the Open Inference Protocol, as Triton has it:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

_SIZES: Final = {
    datatype: size
    for size, datatypes in (
        (1, ("BOOL", "UINT8", "INT8")),
        (2, ("UINT16", "INT16", "FP16", "BF16")),
        (4, ("UINT32", "INT32", "FP32")),
        (8, ("UINT64", "INT64", "FP64")),
    )
    for datatype in datatypes
}
"""Bytes of an element."""

_PREFIX: Final = Struct("<I")
"""Before each element of type BYTES: its length."""

_BYTES: Final = "BYTES"


def known(datatype: str) -> bool:
    """Whether the ends of its elements can be found."""
    return datatype in _SIZES or datatype == _BYTES


def cut(datatype: str, blob: memoryview, counts: Sequence[int]) -> list[memoryview]:
    """``blob`` in pieces of so many elements each. Raises ValueError unless they are all of it."""
    pieces: list[memoryview] = []
    start = 0
    for count in counts:
        end = _skipped(blob, start, count) if datatype == _BYTES else start + count * _SIZES[datatype]
        pieces.append(blob[start:end])
        start = end
    if start != len(blob):
        raise ValueError(f"{len(blob)} bytes of {datatype} data where {start} are due")
    return pieces


def _skipped(blob: memoryview, start: int, count: int) -> int:
    """Where ``count`` elements of type BYTES end that begin at ``start``."""
    for _ in range(count):
        if start + _PREFIX.size > len(blob):
            raise ValueError("the binary data end within an element")
        start += _PREFIX.size + _PREFIX.unpack_from(blob, start)[0]
    return start
