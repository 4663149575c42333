"""Shared memory for metrics: append-only records, one writer, any number of readers, no lock.

A record is published by moving the end marker, and only after the record is complete; a cell is eight aligned bytes.
So a reader never sees half of anything, and a writer that is killed leaves the segment whole for its successor.

Layout, in native byte order: the number of bytes used (u64), then records. A record: its key's length (u32) and its
number of cells (u32), packed into one u64; the key, padded to eight bytes; the cells (f64 each).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

SIZE = 16 << 20
"""Bytes of address space for a segment; pages that are never touched cost nothing."""

_WORD = 8


class Segment:
    """Records of ``key`` -> cells in one piece of memory."""

    __slots__ = ("_bytes", "_cells", "_words")

    def __init__(self, memory: mmap.mmap) -> None:
        self._bytes = memoryview(memory)
        self._words = self._bytes.cast("Q")
        self._cells = self._bytes.cast("d")

    @classmethod
    def attach(cls, fd: int) -> Segment:
        """The segment in the file ``fd``, shared with all who attach it; ``fd`` may be closed afterwards."""
        return cls(mmap.mmap(fd, os.fstat(fd).st_size))

    @classmethod
    def private(cls, size: int = SIZE) -> Segment:
        """A segment that only this process sees; ``size`` is a multiple of eight."""
        return cls(mmap.mmap(-1, size))

    def append(self, key: bytes, count: int) -> memoryview[float] | None:
        """``count`` new cells, all zero, known to readers under ``key``; None when the segment is full."""
        start = _WORD + self._words[0]
        first = start + _WORD + _padded(len(key))
        end = first + _WORD * count
        if end > len(self._bytes):
            return None
        self._bytes[start + _WORD : start + _WORD + len(key)] = key
        self._words[start // _WORD] = len(key) << 32 | count
        # A writer killed half-way through this very record may have left anything here.
        self._bytes[first:end] = bytes(end - first)
        self._words[0] = end - _WORD
        return self._cells[first // _WORD : end // _WORD]

    @property
    def used(self) -> int:
        """Bytes of all records published so far."""
        return self._words[0]

    def records(self, first: int = 0, end: int | None = None) -> Iterator[tuple[bytes, memoryview[float]]]:
        """The records published so far, in the order of writing, or those between two values of ``used``.

        The cells are live.
        """
        start, stop = _WORD + first, _WORD + (self.used if end is None else end)
        while start < stop:
            length, count = divmod(self._words[start // _WORD], 1 << 32)
            key = bytes(self._bytes[start + _WORD : start + _WORD + length])
            first = start + _WORD + _padded(length)
            start = first + _WORD * count
            yield key, self._cells[first // _WORD : start // _WORD]

    def __repr__(self) -> str:
        return f"<Segment {self._words[0] + _WORD} of {len(self._bytes)} bytes used>"


def create(name: str, size: int = SIZE) -> int:
    """A file descriptor of new shared memory, all zero; ``name`` is what /proc/PID/maps shows."""
    fd = os.memfd_create(name)
    os.truncate(fd, size)
    return fd


def _padded(length: int) -> int:
    return -length % _WORD + length
