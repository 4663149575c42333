"""Events as JSON lines in a file that begins anew at a certain size."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from gateway.config.payload import Rotation
from gateway.payload.content import as_json
from gateway.payload.dialect import CloudEvent

from .sink import SENT, Verdict


class FileSink:
    """``path``, and its former selves as ``path.1`` (the latest), ``path.2`` ..."""

    together = 100
    concurrency = 1

    def __init__(self, path: str, rotation: Rotation) -> None:
        self._path = Path(path)
        self._rotation = rotation

    async def send(self, events: Sequence[CloudEvent]) -> Verdict:
        try:
            self._rotate()
            self._append(b"".join(as_json(event) + b"\n" for event in events))
        except OSError as error:
            return Verdict("retry", error.strerror or "")
        return SENT

    async def close(self) -> None:
        pass

    def _append(self, lines: bytes) -> None:
        """All lines or none: half a line is no JSON. Opened each time, as somebody may have moved the file away."""
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, lines) < len(lines):
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)

    def _rotate(self) -> None:
        if not self._path.exists() or self._path.stat().st_size < self._rotation.max_bytes:
            return
        if not self._rotation.keep:
            self._path.unlink()
            return
        for number in range(self._rotation.keep - 1, 0, -1):
            if (former := self._former(number)).exists():
                former.rename(self._former(number + 1))
        self._path.rename(self._former(1))

    def _former(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
