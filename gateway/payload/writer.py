"""Writer: appends frames to its lane. All of it blocks, and so runs in a thread."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .frames import Frame, head
from .lane import following, segment, take

SEGMENT = 16 << 20
"""Bytes that a segment has at most, unless a single frame has more."""
LEAST_SEGMENT = 64 << 10


def segment_size(bound: int, writers: int) -> int:
    """Small enough that what ``writers`` are writing to, which cannot be dropped, is a quarter of the bound at most."""
    return max(LEAST_SEGMENT, min(SEGMENT, bound // (4 * writers)))


class Writer:
    """The one writer of a lane below ``directory``. Raises OSError when there can be none."""

    def __init__(self, directory: Path, most: int = SEGMENT) -> None:
        self.most = most
        self.durable = True
        """Whether finished segments are synced."""
        self._lane, self._lock = take(directory)
        self._next = following(self._lane)
        self._file = -1
        self._size = 0

    def append(self, frame: Frame) -> None:
        """All of it or, with an OSError, nothing."""
        parts = (head(frame), frame.data)
        if self._file < 0 or (self._size and self._size + sum(map(len, parts)) > self.most):
            self._rotate()
        try:
            written = self._write(parts)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += written
        self._next += frame.records

    def sync(self) -> None:
        """From here on a power failure loses nothing of what was appended."""
        if self._file >= 0:
            os.fdatasync(self._file)

    def close(self) -> None:
        """The lane is free for another writer."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        os.close(self._lock)

    def _write(self, parts: tuple[bytes, bytes]) -> int:
        """Bytes written. A file takes everything, unless there is no room."""
        written = os.writev(self._file, parts)
        if written < sum(map(len, parts)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    def _rotate(self) -> None:
        # A file of that name holds no whole record: its writer died in its first one.
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        fresh = os.open(segment(self._lane, self._next), flags, 0o600)
        if self.durable:
            self.sync()
            _sync_directory(self._lane)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = fresh, 0


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
