"""The call that a batch becomes, and the end of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.layers.attempt import attempt
from gateway.message import Request, Response
from gateway.service import Service
from gateway.stream import Stream

from . import spans
from .lane import Batch
from .merged import merged

if TYPE_CHECKING:
    from gateway.telemetry.tracing.span import Span

SIZE: Final = b"x-gateway-batch-size"
"""The header of an answer that tells how many rows the call had that it is from."""

_STALE = 0.001
"""Seconds of waiting after which a backend is told anew how much time is left."""


async def send(batch: Batch, backend: str, new_id: Callable[[], bytes]) -> Response:
    """The answer to all of ``batch``. Raises GatewayError; Mismatch or Unmergeable if its members do not fit."""
    if len(batch.entries) == 1:
        return await batch.lane.call(_alone(batch, backend))
    members = [entry.member for entry in batch.entries]
    call = merged(batch.lane.format, members, new_id, batch.started)
    if call.trace is None:
        return await batch.lane.call(call)
    span = call.trace = spans.of_call(backend, batch, call.trace)
    return await _traced(batch.lane.call, call, span)


def _alone(batch: Batch, backend: str) -> Request:
    entry = batch.entries[0]
    request = entry.member.request
    if batch.started - entry.since < _STALE:
        return request
    spans.of_wait(backend, batch, entry)
    return attempt(request, 1, batch.started, request.deadline)


async def _traced(call: Service, request: Request, span: Span) -> Response:
    try:
        answer = await call(request)
        span.answered(answer.status, 500)
        return answer
    except BaseException as error:
        span.failed(error, 500)
        raise
    finally:
        span.finish()


def sized(answer: Response, batch: Batch | None) -> Response:
    """``answer``, which says now how large its ``batch`` was."""
    if batch is not None:
        answer.headers = [*(field for field in answer.headers if field[0] != SIZE), (SIZE, b"%d" % batch.rows)]
    return answer


async def ended(stream: Stream) -> None:
    """Wait for the last byte, or for there to be none."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(_: object) -> None:
        if not over.done():
            over.set_result(None)

    stream.when_ended(tell)
    await over
