"""The log of the program itself: text on standard error, one line an event, whatever the event contains."""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO


class Line(logging.Formatter):
    """``2026-11-20T13:15:39.123Z INFO message key=value``; line ends inside an event are written as ``\\n``."""

    def __init__(self, suffix: str = "") -> None:
        super().__init__(f"%(asctime)s %(levelname)s %(message)s{suffix}")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\\r").replace("\n", "\\n")


def start(level: str, *, worker: int | None = None, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (standard error) from ``level`` (``debug`` ... ``error``) up; a worker's lines name it."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Line() if worker is None else Line(f" worker={worker}"))
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())
