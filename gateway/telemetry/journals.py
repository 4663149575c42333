"""Journals: the access logs of all workers, put into words and written to their files; for the control process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from gateway.message import Record

from .access import Lines
from .dropped import Dropped
from .journal import Journal
from .lines import Json, as_text
from .metrics import Registry

FLUSH: Final = 1.0
"""Seconds that the end waits for a file that does not get on."""

Words = Callable[[Sequence[Record], float], bytes]

_decode = msgspec.msgpack.Decoder(list[Record]).decode


class Journals:
    """One for each path. Lines that come late, for a log that is in no configuration any more, are written, too."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._open: dict[str, Journal] = {}
        self._closing: list[Journal] = []
        self._dropped: dict[str, Dropped] = {}
        self._words: dict[str, Words] = {"json": Json(), "text": as_text}

    def __repr__(self) -> str:
        return f"<Journals {' '.join(map(repr, self._open.values()))}>"

    def open(self, path: str) -> Journal:
        """The journal of ``path``. Raises OSError when the file cannot be opened."""
        if path not in self._open:
            failed = self._registry.counter("gateway_access_log_dropped_total", reason="failed")
            self._open[path] = Journal(path, self._full(path), failed)
        return self._open[path]

    def _full(self, path: str) -> Dropped:
        if path not in self._dropped:
            counter = self._registry.counter("gateway_access_log_dropped_total", reason="full")
            self._dropped[path] = Dropped(counter, f"access log: path={path}", "full")
        return self._dropped[path]

    def keep(self, path: str | None) -> None:
        """Close all others, once they have written what they have."""
        self._closing = [journal for journal in self._closing if not journal.ended(0.0)]
        for other in [other for other in self._open if other != path]:
            journal = self._open.pop(other)
            journal.close()
            self._closing.append(journal)

    def write(self, lines: Lines) -> None:
        """Put ``lines`` into words, and have them written."""
        try:
            journal = self.open(lines.path)
        except OSError as error:
            self._full(lines.path).add(lines.count, error.strerror or str(error))
            return
        journal.write(self._words[lines.format](_decode(lines.records), lines.epoch))

    def reopen(self) -> None:
        """The files have been moved away: go on in new ones."""
        for journal in self._open.values():
            journal.reopen()

    def flush(self) -> None:
        """Wait until all is written, but no longer than a second for each file. Blocks."""
        for journal in self._open.values():
            journal.flush(FLUSH)

    def close(self) -> None:
        """Write what waits, and no more after that. Blocks as ``flush`` does."""
        self.keep(None)
        for journal in self._closing:
            journal.ended(FLUSH)
