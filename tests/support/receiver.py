"""A receiver of payload events, which may be down, busy, or want no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestServer

PATIENCE = 60.0


class Call(NamedTuple):
    """What was posted, and when (loop time)."""

    headers: dict[str, str]
    body: bytes
    time: float


class Receiver:
    """Answers with ``status`` and keeps the calls; those that it takes, with 204, in ``taken``."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.taken: list[Call] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        self.once: list[tuple[int, dict[str, str]]] = []
        """Statuses and headers of the next answers, before that."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/", self._take)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/"))

    @property
    def ids(self) -> Counter[str]:
        """How often each event was taken, for events in binary mode."""
        return Counter(call.headers["ce-id"] for call in self.taken)

    @property
    def down(self) -> bool:
        return self.status == 503

    @down.setter
    def down(self, yes: bool) -> None:
        self.status = 503 if yes else 204

    async def has(self, count: int) -> None:
        """Wait until that many calls were taken, of different events in binary mode."""
        async with asyncio.timeout(PATIENCE):
            while len({call.headers.get("ce-id", number) for number, call in enumerate(self.taken)}) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def called(self, count: int = 1) -> None:
        """Wait until it was called so often, whatever it answered."""
        async with asyncio.timeout(PATIENCE):
            while len(self.calls) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(headers, await request.read(), asyncio.get_running_loop().time())
        self.calls.append(call)
        status, headers = self.once.pop(0) if self.once else (self.status, self.headers)
        if status == 204:
            self.taken.append(call)
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that runs."""
    receiver = Receiver()
    await receiver.server.start_server()
    try:
        yield receiver
    finally:
        await receiver.server.close()
