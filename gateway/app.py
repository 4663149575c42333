"""App: one generation of the configuration; its routes, its in-flight count, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from .http.arrival import Refusal
from .layers.recover import Recover
from .message import Request, Response
from .service import called


class Held(Protocol):
    """What a generation holds of that which outlives it: a Lease."""

    async def open(self) -> None: ...
    def begin(self) -> None: ...
    def describe(self) -> list[dict[str, object]]: ...
    def release(self) -> None: ...


class App:
    """Answers every request of a worker until the next generation takes over."""

    def __init__(
        self,
        entry: Recover,
        held: Held,
        refused: Callable[[Refusal], None] | None = None,
    ) -> None:
        self._entry = entry
        self._answer = called(entry)
        self._held = held
        self._refused = refused

    def __repr__(self) -> str:
        return f"<App in_flight={self.in_flight}>"

    def __call__(self, request: Request) -> Awaitable[Response]:
        answer = self._answer  # it is dear in Python 3.11 to call what an attribute holds
        return answer(request)

    def refused(self, refusal: Refusal) -> None:
        """A client was refused before its request had arrived."""
        if self._refused is not None:
            self._refused(refusal)

    @property
    def in_flight(self) -> int:
        """Requests that this generation has not answered yet."""
        return self._entry.in_flight

    async def open(self) -> None:
        """Get ready to serve; takes 2 s at most."""
        await self._held.open()

    def begin(self) -> None:
        """Serve from now on: what is shared with the generation before follows this one's configuration."""
        self._held.begin()

    async def retire(self) -> None:
        """Wait until the last request has ended, then give back what outlives a generation."""
        idle = asyncio.Event()
        self._entry.when_idle(idle.set)
        await idle.wait()
        self._held.release()

    def describe(self) -> list[dict[str, object]]:
        """The backends and their connections, for ``/clusters``."""
        return self._held.describe()
