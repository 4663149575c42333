"""Events by HTTP POST, as CloudEvents' webhook rules have it: 410 ends it, 429 and Retry-After are obeyed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import aiohttp

from gateway.config import payload as config
from gateway.payload.content import ENCODINGS
from gateway.payload.dialect import CloudEvent

from .sink import SENT, Verdict

TOGETHER = 100
"""Events in a batch."""
LONGEST = 300.0
"""Seconds that a Retry-After is obeyed for."""
REJECTED = frozenset((400, 413, 415, 422))
"""The event is at fault. Anything else may be better next time: a route not there yet, a credential renewed."""


class HttpSink:
    """One receiver, over connections that are kept alive."""

    def __init__(self, sink: config.Sink) -> None:
        self.together = TOGETHER if sink.content_mode == "batched" else 1
        self.concurrency = sink.concurrency
        self._url = sink.url or ""
        self._encode = ENCODINGS[sink.content_mode]
        self._session = aiohttp.ClientSession(
            headers=sink.headers,
            timeout=aiohttp.ClientTimeout(sink.timeout),
            connector=aiohttp.TCPConnector(limit=sink.concurrency),
            skip_auto_headers=("content-type",),
        )

    async def send(self, events: Sequence[CloudEvent]) -> Verdict:
        message = self._encode(events)
        try:
            async with self._session.post(
                self._url, data=message.body, headers=message.headers, allow_redirects=False
            ) as answer:
                await answer.read()
                return verdict(answer.status, answer.headers.get("retry-after", ""))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Verdict("retry", type(error).__name__)

    async def close(self) -> None:
        await self._session.close()


def verdict(status: int, retry_after: str = "") -> Verdict:
    """What an answer means."""
    if 200 <= status < 300:
        return SENT
    if status == 410:
        return Verdict("gone", "status 410")
    if status in REJECTED:
        return Verdict("rejected", f"status {status}")
    return Verdict("retry", f"status {status}", seconds(retry_after))


def seconds(retry_after: str) -> float:
    """A Retry-After (RFC 9110 section 10.2.3) as seconds from now; 0 for one that is no good."""
    try:
        if retry_after.isdecimal():
            wanted = float(retry_after)
        else:
            wanted = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, TypeError):
        return 0.0
    return min(max(wanted, 0.0), LONGEST)
