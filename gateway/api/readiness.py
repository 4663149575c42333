"""Whether a graph can answer: the shape of the graph, with "can it be reached" at its leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

Reachable = Callable[[], Awaitable[bool]]


class Needs(msgspec.Struct, frozen=True):
    """All of ``parts`` (Sequence, Ensemble), or any one of them (Switch, Splitter)."""

    every: bool
    parts: tuple[Needs | Reachable, ...]

    async def ready(self) -> bool:
        """Ask as few leaves as the answer takes."""
        for part in self.parts:
            good = await (part.ready() if isinstance(part, Needs) else part())
            if good != self.every:
                return good
        return self.every
