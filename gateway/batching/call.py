"""The call that a batch becomes, and the end of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.layers.attempt import attempt
from gateway.message import Request, Response
from gateway.service import Service
from gateway.stream import Stream

from .lane import Batch, Entry
from .merged import merged

if TYPE_CHECKING:
    from gateway.telemetry.tracing.span import Span

_STALE = 0.001
"""Seconds of waiting after which a backend is told anew how much time is left."""


async def send(batch: Batch, new_id: Callable[[], bytes]) -> Response:
    """The answer to all of ``batch``. Raises GatewayError; Mismatch or Unmergeable if its members do not fit."""
    if len(batch.entries) == 1:
        return await batch.lane.call(_alone(batch.entries[0], batch.started))
    members = [entry.member for entry in batch.entries]
    call = merged(batch.lane.format, members, new_id, batch.started)
    if call.trace is None:
        return await batch.lane.call(call)
    return await _traced(batch.lane.call, call, call.trace)


def _alone(entry: Entry, now: float) -> Request:
    request = entry.member.request
    return request if now - entry.since < _STALE else attempt(request, 1, now, request.deadline)


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


async def ended(stream: Stream) -> None:
    """Wait for the last byte, or for there to be none."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(_: object) -> None:
        if not over.done():
            over.set_result(None)

    stream.when_ended(tell)
    await over
