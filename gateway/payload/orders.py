"""What the control process and the sender say to each other, over a channel like a worker's."""

from __future__ import annotations

import msgspec

from gateway.config.payload import Sink


class Configure(msgspec.Struct, tag=True):
    """Send for these sinks from now on, each with a spool that has a path."""

    sinks: dict[str, Sink]
    linger: float
    """Seconds for which to send what is in ``temporary`` should the control process die: the workers' last events."""
    temporary: str = ""
    """A directory that must not outlive the gateway."""


class Flush(msgspec.Struct, tag=True):
    """The workers have ended: send what is left within ``timeout`` seconds, answer Flushed and exit."""

    timeout: float


class Flushed(msgspec.Struct):
    """The end; ``clean`` when nothing is left that a restart would not send."""

    clean: bool


ToSender = Configure | Flush


class Handed(msgspec.Struct, frozen=True):
    """The argument of ``python -m gateway.payload.sender``: file descriptors that it was started with."""

    channel: int
    segment: int
    log_level: str
