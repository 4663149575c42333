"""How records lie in a segment file: length and CRC-32 (little-endian, four bytes each), then the record.

A frame that is cut short, or whose sum is wrong, ends the file: whoever wrote it died there, or the disk did.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, NamedTuple
from zlib import crc32

_HEAD = Struct("<II")
LARGEST = 1 << 30
"""Bytes; a length beyond it is no length."""


class Frame(NamedTuple):
    """A record, and where in the file the next one begins."""

    record: bytes
    end: int


def head(record: bytes) -> bytes:
    """What precedes ``record``, which is never empty: after a power failure a file may end in zeros."""
    return _HEAD.pack(len(record), crc32(record))


def frames(file: BinaryIO, start: int = 0) -> Iterator[Frame]:
    """The whole frames from byte ``start`` on."""
    file.seek(start)
    while len(fields := file.read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(fields)
        if not 0 < length <= LARGEST:
            return
        record = file.read(length)
        if len(record) < length or crc32(record) != checksum:
            return
        start += _HEAD.size + length
        yield Frame(record, start)
