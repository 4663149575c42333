"""The log of the program itself: on standard error, one line an event, whatever the event contains."""

from __future__ import annotations

import logging
import sys
import time
from typing import Final, Literal, TextIO

import msgspec

Format = Literal["text", "json"]

LEVELS: Final = ("debug", "info", "warning", "error")


class Line(logging.Formatter):
    """``2026-11-20T13:15:39.123Z INFO message key=value``; line ends inside an event are written as ``\\n``."""

    def __init__(self, suffix: str = "") -> None:
        super().__init__(f"%(asctime)s %(levelname)s %(message)s{suffix}")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\\r").replace("\n", "\\n")


class JsonLine(Line):
    """``{"ts": ..., "level": "INFO", "message": ...}``, and where there are any ``worker`` and ``exception``."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "ts": self.formatTime(record),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if self._worker is not None:
            event["worker"] = self._worker
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        # A file name in it need not be UTF-8, JSON must.
        clean = {key: _clean(value) if isinstance(value, str) else value for key, value in event.items()}
        return msgspec.json.encode(clean).decode()


def _clean(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def start(level: str, form: Format = "text", *, worker: int | None = None, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (standard error) from ``level`` (one of ``LEVELS``) up; a worker's lines name it."""
    handler = logging.StreamHandler(stream or sys.stderr)
    text = Line() if worker is None else Line(f" worker={worker}")
    handler.setFormatter(JsonLine(worker) if form == "json" else text)
    logging.root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Log from ``level`` up from now on."""
    logging.root.setLevel(level.upper())
