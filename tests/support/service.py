"""A Service whose next answers the test decides, and the messages to feed it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

import msgspec

from gateway.errors import GatewayError
from gateway.message import Headers, Request, Response

Outcome = Response | GatewayError | Callable[[Request], Response]


def ask(body: bytes = b"{}", headers: Headers | None = None, deadline: float = inf) -> Request:
    """A client's POST."""
    return Request(b"POST", b"/v1/models/iris:predict", list(headers or ()), body, deadline, b"id-1")


def answer(body: bytes = b"{}", status: int = 200, headers: Headers | None = None) -> Response:
    """A model server's answer."""
    return Response(status, list(headers or ()), body)


M = TypeVar("M", Request, Response)


def plain(message: M | None) -> M:
    """``message`` for comparisons: without the lines that its headers may be known by."""
    assert message is not None
    return msgspec.structs.replace(message, encoded=None)


def fields(message: Request | Response) -> Headers:
    """All headers of ``message``, those that the gateway adds last."""
    stamped = [line.partition(b": ")[::2] for line in message.stamp.split(b"\r\n")[:-1]]
    return [*message.headers, *stamped]


class MockService:
    """Each call takes the next outcome, or the standing one; a call nobody prepared for is an AssertionError.

    ``futures``: calls return a Future, as a pool with an idle connection does, in place of a coroutine.
    """

    def __init__(self, *, futures: bool = False) -> None:
        self.requests: list[Request] = []
        """As they were when they came in."""
        self.cancelled = 0
        self.finished = 0
        self._futures = futures
        self._next: deque[tuple[Outcome | None, float]] = deque()
        self._standing: tuple[Outcome | None, float] | None = None

    def answers(
        self, body: bytes = b"{}", status: int = 200, headers: Headers | None = None, after: float = 0.0
    ) -> MockService:
        """The next call answers so, ``after`` seconds later."""
        return self.does(answer(body, status, headers), after)

    def fails(self, error: GatewayError, after: float = 0.0) -> MockService:
        """The next call fails so, ``after`` seconds later."""
        return self.does(error, after)

    def hangs(self) -> MockService:
        """The next call never ends."""
        return self.does(None)

    def does(self, outcome: Outcome | None, after: float = 0.0) -> MockService:
        """The next call ends with ``outcome``, or never for None; a function computes the answer from the request."""
        self._next.append((outcome, after))
        return self

    def always(self, outcome: Outcome | None, after: float = 0.0) -> MockService:
        """Every call that has no outcome of its own ends so."""
        self._standing = (outcome, after)
        return self

    @property
    def bodies(self) -> list[bytes]:
        """What came in."""
        return [request.body for request in self.requests]

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        plan = self._next.popleft() if self._next else self._standing
        assert plan is not None, f"nobody expected the call {request!r}"
        self.requests.append(request.derive(request.deadline))
        return self._future(request, *plan) if self._futures else self._coroutine(request, *plan)

    async def _coroutine(self, request: Request, outcome: Outcome | None, after: float) -> Response:
        try:
            await (asyncio.sleep(after) if outcome is not None else asyncio.get_running_loop().create_future())
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.finished += 1
        return _settle(request, outcome)

    def _future(self, request: Request, outcome: Outcome | None, after: float) -> asyncio.Future[Response]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()
        future.add_done_callback(self._ended)
        if outcome is not None and after:
            loop.call_later(after, _resolve, future, request, outcome)
        elif outcome is not None:
            _resolve(future, request, outcome)
        return future

    def _ended(self, future: asyncio.Future[Response]) -> None:
        self.cancelled += future.cancelled()
        self.finished += not future.cancelled()


def _settle(request: Request, outcome: Outcome | None) -> Response:
    if isinstance(outcome, GatewayError):
        raise outcome
    assert outcome is not None
    return outcome if isinstance(outcome, Response) else outcome(request)


def _resolve(future: asyncio.Future[Response], request: Request, outcome: Outcome) -> None:
    if future.done():
        return
    try:
        future.set_result(_settle(request, outcome))
    except GatewayError as error:
        future.set_exception(error)
