"""What all sinks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from gateway.payload.dialect import CloudEvent


class Verdict(NamedTuple):
    """What became of a message: ``gone`` ends all sending, ``retry`` is tried again, after ``after`` s or later."""

    result: Literal["sent", "rejected", "retry", "gone"]
    cause: str = ""
    after: float = 0.0


SENT = Verdict("sent")


class Sink(Protocol):
    """A receiver of events."""

    @property
    def together(self) -> int:
        """The most events in one message."""
        ...

    @property
    def concurrency(self) -> int:
        """Messages under way at once."""
        ...

    async def send(self, events: Sequence[CloudEvent], /) -> Verdict: ...
    async def close(self) -> None: ...
