"""An event loop with a virtual clock: an hour passes in a millisecond, and a deadlock is an error.

When nothing is ready the clock jumps to the next timer; when there is no timer either, nothing will ever happen.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Deadlock(AssertionError):
    """Every task waits and no timer is set."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0.0 seconds. What it reports to its exception handler is kept in ``complaints``."""

    def __init__(self) -> None:
        self.now = 0.0
        self.complaints: list[dict[str, Any]] = []
        super().__init__(_Jump(self))
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self) -> float:
        return self.now


class _Jump(selectors.DefaultSelector):
    """Never waits: it moves the loop's clock instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Deadlock("nothing is ready and no timer is set")
        if not ready:
            self._loop.now += max(timeout or 0.0, 0.0)
        return ready


def run(main: Coroutine[Any, Any, T]) -> T:
    """What ``main`` returns, run on a virtual clock. Raises AssertionError for anything the loop complained about."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        result = runner.run(main)
    assert not loop.complaints, loop.complaints
    return result


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Decorates an ``async def`` test: it runs on a virtual clock."""

    @functools.wraps(test)
    def sync(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return sync
