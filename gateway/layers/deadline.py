"""Deadline: one time limit for a whole graph, with all its hops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from gateway.errors import DeadlineExceeded
from gateway.message import Request, Response
from gateway.service import Layer, Service


class Deadline:
    """Sets the request's deadline, never later than the one that the client asked for."""

    def __init__(self, inner: Service, timeout: float) -> None:
        self.inner = inner
        self._timeout = timeout
        self._clock = asyncio.get_running_loop().time

    def __call__(self, request: Request) -> Awaitable[Response]:
        now = self._clock()
        if request.deadline <= now:
            raise DeadlineExceeded("the time that the client allowed had passed on arrival")
        if request.deadline > now + self._timeout:
            request.deadline = now + self._timeout
        else:
            request.hurried = True
        return self.inner(request)


def deadline(timeout: float) -> Layer:
    """``timeout`` in seconds."""
    return lambda inner: Deadline(inner, timeout)
