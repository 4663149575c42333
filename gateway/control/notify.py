"""Telling systemd how we are (sd_notify(3)); without ``NOTIFY_SOCKET`` nothing is told."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping


class Notify:
    """The service manager's socket."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = environ.get("NOTIFY_SOCKET", "")
        self._watchdog = _watchdog_seconds(environ) if self._path else None

    def ready(self) -> None:
        self._tell("READY=1")

    def reloading(self) -> None:
        """Must carry the time, or ``systemctl reload`` of a ``Type=notify-reload`` unit waits for ever."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    async def watchdog(self) -> None:
        """Say twice in every ``WatchdogSec`` that the event loop turns; returns at once where none is set."""
        while self._watchdog is not None:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog / 2)

    def _tell(self, state: str) -> None:
        if not self._path:
            return
        # "@" stands for the zero byte of an abstract socket (sd_notify(3)).
        address = self._path.encode().replace(b"@", b"\0", 1) if self._path[0] == "@" else self._path.encode()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto(state.encode(), address)
            except OSError:
                pass  # Nobody listens: then nobody minds.


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """What ``WATCHDOG_USEC`` says, if it is meant for us (sd_watchdog_enabled(3))."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) > 0 else None
