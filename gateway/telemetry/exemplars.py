"""Exemplars: for each bucket of a histogram the last traced request that fell into it, in a record of their own.

The rule: a reader takes all of an exemplar or nothing of it. It may look while another process writes, or where a
writer was killed; so an exemplar counts only with its checksum, which memory that was never written does not have.
"""

from __future__ import annotations

from bisect import bisect_left
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

_FIELDS: Final = Struct("=dd32s16s")
_CHECKSUM: Final = Struct("=Q")
_SIZE: Final = _FIELDS.size + _CHECKSUM.size

CELLS: Final = _SIZE // 8
"""Cells that an exemplar takes."""


class Exemplar(NamedTuple):
    """One observation, and the span that it was; ids in hexadecimal digits, 32 and 16."""

    seconds: float
    at: float
    """Unix time."""
    trace_id: bytes
    span_id: bytes


class Exemplars:
    """Room for an exemplar of every bucket of one histogram."""

    __slots__ = ("_bounds", "_memory")

    def __init__(self, cells: memoryview[float], bounds: tuple[float, ...]) -> None:
        self._memory = cells.cast("B")
        self._bounds = bounds

    def keep(self, exemplar: Exemplar) -> None:
        """In place of the one that its bucket had."""
        first = _SIZE * bisect_left(self._bounds, exemplar.seconds)
        fields = _FIELDS.pack(*exemplar)
        self._memory[first : first + _SIZE] = fields + _checksum(fields)


def read(cells: memoryview[float]) -> list[Exemplar | None]:
    """The exemplar of each bucket, where there is one that is whole."""
    memory = cells.tobytes()
    return [_read(memory[first : first + _SIZE]) for first in range(0, len(memory), _SIZE)]


def _read(slot: bytes) -> Exemplar | None:
    fields, checksum = slot[: _FIELDS.size], slot[_FIELDS.size :]
    return Exemplar(*_FIELDS.unpack(fields)) if _checksum(fields) == checksum else None


def _checksum(fields: bytes) -> bytes:
    return _CHECKSUM.pack(crc32(fields))
