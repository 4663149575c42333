"""Running the coroutine of one request at a time, without a Task.

A Task costs a turn of the event loop more, and an entry in asyncio's set of all tasks. The rule in return: what is
driven here must not ask for the current task; asyncio.timeout and TaskGroup belong into spawned ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any

from gateway.message import Response

Ended = Callable[[Response | None, BaseException | None], None]
"""Told either the answer, or what was raised instead of one, be it CancelledError."""


class Drive:
    """Runs one call after the other; ``ended`` is called once for each, and never before ``begin`` has returned."""

    __slots__ = ("_call_soon", "_cancelled", "_ended", "_send", "_waits_for", "_why")

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Ended) -> None:
        self._call_soon = loop.call_soon
        self._ended = ended
        self._cancelled = False
        self._why: str | None = None
        self._waits_for: asyncio.Future[Any] | None = None

    def begin(self, call: Awaitable[Response]) -> None:
        """Run ``call`` from the next turn of the loop on.

        Not at once: what one look at all sockets has brought goes out together then, and wakes the others less often.
        """
        self._send = call.send if isinstance(call, CoroutineType) else call.__await__().send
        self._call_soon(self._on, None)

    def cancel(self, why: str | None = None) -> None:
        """Cancel what the call waits for, now or next: a CancelledError rises through it, and says ``why``.

        There is no way back.
        """
        self._cancelled = True
        self._why = why
        if self._waits_for is not None:
            self._waits_for.cancel(why)

    def _on(self, _: object) -> None:
        try:
            future = self._send(None)
        except StopIteration as stop:
            self._waits_for = None
            self._ended(stop.value, None)
        except BaseException as error:
            self._waits_for = None
            self._ended(None, error)
        else:
            if future is None:  # asyncio.sleep(0)
                self._call_soon(self._on, None)
                return
            # What a Task does with a future that the coroutine it runs awaits (asyncio/tasks.py).
            future._asyncio_future_blocking = False
            self._waits_for = future
            future.add_done_callback(self._on)
            if self._cancelled:
                future.cancel(self._why)
