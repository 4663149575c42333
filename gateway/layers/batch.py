"""Batch: requests that may share a call go to the batcher, the others on as they came.

It stands inside Forward and outside Retry: what it merges is what the backend would see; a batch is retried as one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from time import monotonic

from gateway.batching.batcher import Batcher
from gateway.batching.merged import alike
from gateway.batching.metrics import Counted
from gateway.config import batch as config
from gateway.formats.format import Format, Unmergeable
from gateway.message import Request, Response
from gateway.service import Layer, Service
from gateway.telemetry.metrics import Registry

from .recover import RequestIds


class Batch:
    """Merges requests of up to ``most`` rows each."""

    def __init__(self, inner: Service, batcher: Batcher, format: Format, most: int) -> None:
        self.inner = inner
        self._batcher = batcher
        self._format = format
        self._most = most

    def __repr__(self) -> str:
        return f"<Batch {self._batcher!r}>"

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        try:
            member = self._format.member(request)
        except Unmergeable as why:
            return self._batcher.bypass(why.reason, request, self.inner)
        if member.rows > self._most:
            return self._batcher.bypass("rows", request, self.inner)
        # The layer itself is in the key: what stands behind another one may treat the same call differently.
        key = (self, alike(request), member.key)
        return self._batcher.submit(key, member, self.inner, self._format)


class Apart:
    """Outside Forward: notes the headers that keep callers apart, before those are thinned out."""

    def __init__(self, inner: Service, names: Iterable[str]) -> None:
        self.inner = inner
        self._names = frozenset(name.lower().encode() for name in names)

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        names = self._names
        request.apart = tuple([field for field in request.headers if field[0] in names])
        return self.inner(request)


def batcher(registry: Registry, backend: str, policy: config.Batch, workers: int) -> Batcher:
    """The batches of one backend in one of ``workers`` processes: share it among all stacks that call the backend."""
    # What event loops count from, too; but uvloop only in whole milliseconds, and once a turn.
    return Batcher(backend, policy, Counted(registry, backend, workers), RequestIds(), monotonic, workers)


def batch(batcher: Batcher, format: Format, most: int) -> Layer:
    """``batcher``: shared among all stacks that call the backend; ``most``: ``maxBatchSize``."""
    return lambda inner: Batch(inner, batcher, format, most)


def apart(names: Iterable[str]) -> Layer:
    """``names`` of headers: ``varyHeaders``."""
    names = tuple(names)
    return lambda inner: Apart(inner, names)
