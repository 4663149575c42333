"""Service, Layer, stack(): the one abstraction. A pool, a node, a layer around either: all are a Service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import FunctionType
from typing import Any, Protocol, TypeVar, cast

from .errors import GatewayError
from .message import Request, Response

T = TypeVar("T")
log = logging.getLogger("gateway")


class Service(Protocol):
    """Anything that answers a request. It answers with a Response, or raises a GatewayError; never anything else."""

    def __call__(self, request: Request, /) -> Awaitable[Response]: ...


Layer = Callable[[Service], Service]


def stack(*layers: Layer | None, service: Service) -> Service:
    """``service`` inside ``layers``, the first one outermost; None stands for a layer that is not configured."""
    service = called(service)
    for layer in reversed(layers):
        if layer is not None:
            service = called(layer(service))
    return service


def called(service: Service) -> Service:
    """The method that a call of ``service`` is: Python has not to look for it then, which is 40 ns of every call.

    ``service`` itself where callers know it for more than that; see layers/attempt.py.
    """
    plain = isinstance(type(service).__call__, FunctionType)
    return service.__call__ if plain and not hasattr(service, "call") else service


def begin(call: Callable[..., Awaitable[Response]], *given: object) -> asyncio.Future[Response]:
    """Make a call now, as a Task only if it must be one; whoever gets the future awaits it, or gives it up.

    What the call raises at once is in the future, too.
    """
    try:
        answer = call(*given)
    except GatewayError as error:
        failed: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        return failed
    if asyncio.isfuture(answer):
        return answer
    return spawn(cast(Coroutine[Any, Any, Response], answer), awaited=True)


_tasks: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, T], name: str | None = None, *, awaited: bool = False) -> asyncio.Task[T]:
    """A task that is kept until it ends and whose failure is logged; ``awaited``: by whoever awaits it, not here."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard if awaited else _ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task %s failed", task.get_name(), exc_info=error)
