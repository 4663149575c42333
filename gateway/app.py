"""App: one generation of the configuration; its routes, its in-flight count, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .layers.recover import Recover
from .message import Request, Response


class App:
    """Answers every request of a worker until the next generation takes over."""

    def __init__(
        self, entry: Recover, release: Callable[[], None], describe: Callable[[], list[dict[str, object]]]
    ) -> None:
        self._entry = entry
        self._release = release
        self._describe = describe

    def __repr__(self) -> str:
        return f"<App in_flight={self.in_flight}>"

    def __call__(self, request: Request) -> Awaitable[Response]:
        return self._entry(request)

    @property
    def in_flight(self) -> int:
        """Requests that this generation has not answered yet."""
        return self._entry.in_flight

    async def retire(self) -> None:
        """Wait until the last request has ended, then give back what outlives a generation."""
        idle = asyncio.Event()
        self._entry.when_idle(idle.set)
        await idle.wait()
        self._release()

    def describe(self) -> list[dict[str, object]]:
        """The backends and their connections, for ``/clusters``."""
        return self._describe()
