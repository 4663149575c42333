"""How records lie in a segment file: many in a frame, so that what is done for each is done in C.

A frame is its length, the number of its records and a CRC-32 (little-endian, four bytes each), then the records as an
array in MessagePack. One that is cut short, or whose sum is wrong, ends the file: whoever wrote it died there, or the
disk did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import BinaryIO, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Raw

_HEAD = Struct("<III")
LARGEST = 1 << 30
"""Bytes; a length beyond it is no length."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Raw]).decode


class Frame(NamedTuple):
    """So many records, encoded."""

    records: int
    data: bytes


def pack(records: Sequence[object]) -> Frame:
    """``records`` as they are written; at least one."""
    return Frame(len(records), _encode(records))


def unpack(frame: Frame) -> list[Raw]:
    """The records, each still encoded."""
    return _decode(frame.data)


def head(frame: Frame) -> bytes:
    """What precedes the data, which is never empty: after a power failure a file may end in zeros."""
    return _HEAD.pack(len(frame.data), frame.records, _sum(frame))


def frames(file: BinaryIO, start: int = 0) -> Iterator[tuple[Frame, int]]:
    """The whole frames from byte ``start`` on, and where the next one begins."""
    file.seek(start)
    while len(fields := file.read(_HEAD.size)) == _HEAD.size:
        length, count, checksum = _HEAD.unpack(fields)
        if not 0 < length <= LARGEST:
            return
        frame = Frame(count, file.read(length))
        if len(frame.data) < length or _sum(frame) != checksum:
            return
        start += _HEAD.size + length
        yield frame, start


def _sum(frame: Frame) -> int:
    return crc32(frame.data, frame.records)
