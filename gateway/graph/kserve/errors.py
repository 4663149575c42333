"""What KServe's router calls an error: a text, and a status that is 500 in all cases but one."""

from __future__ import annotations

from asyncio import get_running_loop

from gateway.errors import Abandoned, DeadlineExceeded, GatewayError
from gateway.message import Request

_TICK = 0.001  # seconds; timers may fire this much too early


class RouterError(GatewayError):
    """An error with the ``cause`` that the client reads."""

    status = 500
    code = "router_error"
    title = "Failed to process request"

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class NoRoute(RouterError):
    """A Switch, none of whose conditions holds. The 404 is seen only when the root is that Switch."""

    status = 404
    code = "no_route_matched"
    title = "No route matched"

    def __init__(self) -> None:
        super().__init__("None of the routes matched with the switch condition")


def overdue(request: Request) -> bool:
    """True once nobody waits for the answer to ``request`` any more."""
    return get_running_loop().time() + _TICK >= request.deadline


def flattened(error: GatewayError, request: Request) -> GatewayError:
    """What a node makes of its step's error, ``request`` being the node's own: the same cause, with status 500.

    When only the step's time was up that is an error like any other; when the graph's was, nobody reads an answer.
    """
    if isinstance(error, DeadlineExceeded) and not overdue(request):
        return _same_place(RouterError("context deadline exceeded"), error)
    if isinstance(error, (Abandoned, DeadlineExceeded)):
        return error
    if isinstance(error, RouterError):
        return _same_place(RouterError(error.cause), error) if isinstance(error, NoRoute) else error
    return _same_place(RouterError(error.detail or error.title), error)


def _same_place(error: RouterError, old: GatewayError) -> RouterError:
    error.node, error.step = old.node, old.step
    return error
