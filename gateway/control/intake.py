"""Intake: what workers send on unasked, lines of access logs and spans, on its way to files and to a collector."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.config.schema import Config
from gateway.telemetry.access import Lines
from gateway.telemetry.journals import Journals
from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing import start_export, wanted

from .channel import Unasked

EXPORT = 2.0
"""Seconds at the end in which the last spans may still be sent."""


class Intake:
    """For so many workers; ``environ`` says whether there are traces."""

    def __init__(self, environ: Mapping[str, str], registry: Registry, workers: int) -> None:
        self._journals = Journals(registry)
        self._export = start_export(environ, registry, workers) if wanted(environ) else None

    @property
    def traced(self) -> bool:
        """Whether spans are wanted."""
        return self._export is not None

    def take(self, message: Unasked) -> None:
        if isinstance(message, Lines):
            self._journals.write(message)
        elif self._export is not None:
            self._export.take(message.count, message.spans)

    def open(self, config: Config) -> tuple[str, ...]:
        """Have the access log of ``config`` open before its workers write to it; the error where that cannot be."""
        path = _log(config)
        try:
            if path is not None:
                self._journals.open(path)
        except OSError as error:
            return (f"cannot open the access log {path}: {error.strerror}",)
        return ()

    def keep(self, config: Config) -> None:
        """Close all logs but that of ``config``."""
        self._journals.keep(_log(config))

    def reopen(self) -> None:
        """The log files have been moved away: go on in new ones."""
        self._journals.reopen()

    async def close(self) -> None:
        """Have written and sent what is here, within seconds."""
        await asyncio.to_thread(self._journals.close)
        if self._export is not None:
            await asyncio.to_thread(self._export.close, EXPORT)


def _log(config: Config) -> str | None:
    log = config.telemetry.access_log
    return log.path if log is not None and log.enabled else None
