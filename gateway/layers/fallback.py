"""Fallback: what stands in for a step that failed, be it another service or an answer that was written beforehand."""

from __future__ import annotations

import json
from asyncio import get_running_loop
from math import inf

from gateway.config import schema as config
from gateway.errors import GatewayError
from gateway.message import Headers, Request, Response
from gateway.service import Layer, Service


class Fallback:
    """Calls ``instead`` when ``inner`` has no answer, or one of 500 and above; not when the client is at fault.

    The route of the request gets ``mark`` then. ``timeout``, in seconds, is for ``inner`` only: what stands in for a
    late answer has the rest of the request's time.
    """

    def __init__(self, inner: Service, instead: Service, mark: bytes, timeout: float = inf) -> None:
        self.inner = inner
        self._instead = instead
        self._mark = mark
        self._timeout = timeout
        self._clock = get_running_loop().time

    async def __call__(self, request: Request, /) -> Response:
        # A copy, for whoever owns a request may change it.
        attempt = request.derive(min(request.deadline, self._clock() + self._timeout))
        try:
            answer = await self.inner(attempt)
            if answer.status < 500:
                return answer
            answer.drop()
        except GatewayError as error:
            if error.status < 500:
                raise error.at(attempt.at)
        request.route.append(self._mark)
        return await self._instead(request)


class Prepared:
    """Answers always the same."""

    def __init__(self, response: config.FallbackResponse) -> None:
        self._status = response.status
        self._body, kind = _encoded(response.body)
        self._headers: Headers = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
        if kind and not any(name == b"content-type" for name, _ in self._headers):
            self._headers.append((b"content-type", kind))

    async def __call__(self, request: Request, /) -> Response:
        return Response(self._status, list(self._headers), self._body)


def _encoded(body: object) -> tuple[bytes, bytes]:
    """Text as it is and anything else as JSON; and the media type. Nothing, for no body."""
    if body is None:
        return b"", b""
    if isinstance(body, str):
        return body.encode(), b"text/plain; charset=utf-8"
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), b"application/json"


def fallback(instead: Service, mark: bytes, timeout: float | None) -> Layer:
    """``timeout``: of the step, in seconds; None: the request's own time is all there is."""
    return lambda inner: Fallback(inner, instead, mark, inf if timeout is None else timeout)
