"""Reloads: one at a time, all or nothing, and never of what only a restart can change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

import msgspec

from gateway.config.schema import Admin, Config, Server
from gateway.service import spawn

_LIVE = frozenset({"headers", "limits", "timeouts", "drain"})
"""The keys of ``server`` that a reload applies; of the files that ``server.tls`` names it reads the contents again."""

_FIXED = {
    "server": frozenset(Server.__struct_fields__) - _LIVE,
    "admin": frozenset(Admin.__struct_fields__),
    "telemetry": frozenset({"buckets"}),  # what is counted already could not be sorted into others
}
"""The keys of each section that only a restart changes."""


class Outcome(NamedTuple):
    """How a reload went: an HTTP status, and the errors if it failed."""

    status: int
    errors: tuple[str, ...] = ()


def restart_only(old: Config, new: Config) -> Iterator[str]:
    """A line for each key that differs and that no reload can apply."""
    for section, fixed in _FIXED.items():
        before, after = getattr(old, section), getattr(new, section)
        for field in msgspec.structs.fields(before):
            if field.name in fixed and getattr(before, field.name) != getattr(after, field.name):
                yield f"{section}.{field.encode_name}: changed, which needs a restart"


class Reloads:
    """Runs ``work`` for all who ask: one run at a time, and one more for everybody who asked during a run."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Outcome]]) -> None:
        self._work = work
        self._running: asyncio.Task[Outcome] | None = None
        self._next: asyncio.Task[Outcome] | None = None

    def request(self) -> asyncio.Task[Outcome]:
        """The run that will see everything as it is now, or later; shared: shield it from your own cancellation."""
        if self._next is None:
            self._next = spawn(self._follow(self._running), "reload")
        return self._next

    async def _follow(self, running: asyncio.Task[Outcome] | None) -> Outcome:
        if running is not None:
            await asyncio.wait([running])
        self._running, self._next = self._next, None
        return await self._work()
