"""Ensemble: all steps at once on the same input, their answers spliced into one object as JSON text.

No answer is decoded and encoded again: big integers, decimals and the order of keys survive. No tasks where the
services return Futures. Nothing outlives the node: what still runs when it ends, however it ends, is cancelled.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Iterable
from typing import cast

import orjson

from gateway import service
from gateway.errors import GatewayError
from gateway.message import Headers, Request, Response

from .document import decoded, document, raw_json
from .step import Node, Step

JSON: Headers = [(b"content-type", b"application/json")]
_MAX_TEXT = 1024


class Ensemble(Node):
    """200 with ``{"<step name or index>": <answer>, ...}`` in step order.

    The first Hard failure in step order is the answer, as soon as no earlier Hard step can still fail. A Soft failure
    appears as ``{"error": "<text>", "status": 500}``. An answer that is not JSON is a failure (UpstreamUnusable).
    """

    __slots__ = ("_order", "_prefixes")

    def __init__(self, steps: Iterable[Step]) -> None:
        super().__init__(steps)
        # Hard steps are waited for first, so that the first Hard failure is seen as soon as it is decided.
        self._order = sorted(range(len(self.steps)), key=lambda index: not self.steps[index].hard)
        self._prefixes = [orjson.dumps(step.key) + b":" for step in self.steps]

    async def __call__(self, request: Request, /) -> Response:
        calls: list[Future[Response]] = []
        try:
            for step in self.steps:
                calls.append(begin(step, request))
            return await self._joined(calls)
        finally:
            abandon(calls)

    async def _joined(self, calls: list[Future[Response]]) -> Response:
        parts = [b""] * len(calls)
        for index in self._order:
            step = self.steps[index]
            try:
                answer = await calls[index]
                if step.hard and not answer.ok:
                    return answer
                part = raw_json(answer) if answer.ok else _failed(answer)
            except GatewayError as error:
                if step.hard:
                    raise error.at(step.at)
                part = _failure(error.detail or error.title, error.status)
            parts[index] = self._prefixes[index] + part
        return Response(200, list(JSON), b"{%b}" % b",".join(parts))


def begin(step: Step, request: Request) -> Future[Response]:
    """Call ``step`` now with a request of its own; the caller awaits what comes back, or hands it to ``abandon``."""
    return service.begin(step.call, request.derive(request.deadline))


def abandon(calls: Iterable[Future[Response]]) -> None:
    """Cancel what still runs, and look at what failed unseen, or asyncio would complain that nobody did."""
    for call in calls:
        if not call.cancel() and not call.cancelled():
            call.exception()


def _failed(answer: Response) -> bytes:
    return _failure(_error_text(answer) or f"HTTP {answer.status}", answer.status)


def _error_text(answer: Response) -> str:
    """The answer's own ``error`` where that is a string, as v1 and v2 say it; else the beginning of its text."""
    found = document(answer)
    if isinstance(found, dict) and isinstance(found.get("error"), str):
        return cast(str, found["error"])
    return decoded(answer)[:_MAX_TEXT].decode("utf-8", "replace")


def _failure(text: str, status: int) -> bytes:
    return orjson.dumps({"error": text, "status": status})
