"""Journal: lines appended to a file, by a thread of its own, so that a disk or a reader that is slow delays nobody.

The rule: a write is of whole lines and no larger than what other processes' writes to the same file cannot cut in two.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import threading
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import Final

from .dropped import Dropped
from .metrics import Counter

log = logging.getLogger("gateway")

MOST: Final = 64
"""Batches that may wait to be written; what comes then is dropped."""

LARGEST: Final = 256 << 10
"""Bytes of one write to a file. A pipe keeps no more than select.PIPE_BUF in one piece (POSIX write()).

Each write is a turn for which the thread waits: with the interpreter's lock, and the loop with it.
"""

_STREAMS: Final = {"stdout": 1, "stderr": 2}


class Journal:
    """``path``: stdout, stderr or a file. Lines that cannot be written are counted in ``full`` and ``failed``.

    Raises OSError when the file cannot be opened.
    """

    def __init__(self, path: str, full: Counter | Dropped, failed: Counter) -> None:
        self._path = path
        self._full = full
        self._failed = failed  # of the thread, as _full is of the callers: no cell has two writers
        self._file = _STREAMS.get(path) or _open(path)
        self._largest = _largest(self._file)
        self._broken = False
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"journal {path}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Journal {self._path} waiting={self._work.qsize()}{' broken' if self._broken else ''}>"

    def write(self, text: bytes) -> None:
        """Append ``text``, which is whole lines, as soon as may be."""
        if self._work.qsize() >= MOST:
            self._full.add(text.count(b"\n"))
        else:
            self._work.put(partial(self._append, text))

    def reopen(self) -> None:
        """Go on in a new file of the same name, after what was written until now: the old one has been moved away."""
        if self._path not in _STREAMS:
            self._work.put(self._reopen)

    def close(self) -> None:
        """Write what waits, and no more after that."""
        self._work.put(None)

    def flush(self, seconds: float) -> None:
        """Wait until all is written that waits by now, but no longer than that. Blocks."""
        written = threading.Event()
        self._work.put(written.set)
        written.wait(seconds)

    def ended(self, seconds: float) -> bool:
        """Wait for the end after ``close``, but no longer than that; whether it has come. Blocks."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # The thread.

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
        if self._path not in _STREAMS:
            os.close(self._file)

    def _append(self, text: bytes) -> None:
        for piece in pieces(text, self._largest):
            try:
                self._write(piece)
                self._broken = False
            except OSError as error:
                self._failed.add(piece.count(b"\n"))
                self._complain(error)

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(self._file, rest) :]
            except BlockingIOError:  # whoever shares it with us has made it so
                select.select((), (self._file,), ())

    def _reopen(self) -> None:
        try:
            new = _open(self._path)
        except OSError as error:
            self._complain(error)
            return
        os.close(self._file)
        self._file, self._largest = new, _largest(new)

    def _complain(self, error: OSError) -> None:
        if not self._broken:
            self._broken = True
            log.error("cannot write to %s: %s", self._path, error.strerror)


def pieces(text: bytes, largest: int) -> Iterator[bytes]:
    """``text`` in pieces of whole lines and at most ``largest`` bytes; a line that is longer is a piece of its own."""
    start = 0
    while len(text) - start > largest:
        end = text.rfind(b"\n", start, start + largest) + 1 or text.index(b"\n", start) + 1
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _largest(file: int) -> int:
    """Bytes that may be written to ``file`` in one piece."""
    return select.PIPE_BUF if stat.S_ISFIFO(os.fstat(file).st_mode) else LARGEST


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
