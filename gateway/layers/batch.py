"""Batch: requests that may share a call go to the batcher, the others on as they came.

It stands inside Forward and outside Retry: what it merges is what the backend would see; a batch is retried as one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Hashable, Iterable
from time import monotonic
from typing import Final

from gateway.batching.batcher import Batcher
from gateway.batching.learnt import Learnt
from gateway.batching.merged import alike
from gateway.batching.metrics import Counted
from gateway.batching.priority import HEADER, Priorities
from gateway.config import batch as config
from gateway.formats.format import Format, Unmergeable
from gateway.message import Request, Response
from gateway.service import Layer, Service
from gateway.telemetry.metrics import Registry

from .recover import RequestIds

PRIORITY: Final = frozenset((HEADER,))
"""What Forward lets through where requests have priorities; it ends here."""


class Batch:
    """Merges requests of up to ``most`` rows each. ``place``: see ``batch``."""

    def __init__(self, inner: Service, batcher: Batcher, format: Format, most: int, place: Hashable) -> None:
        self.inner = inner
        self._batcher = batcher
        self._format = format
        self._most = most
        self._place = place

    def __repr__(self) -> str:
        return f"<Batch {self._batcher!r}>"

    def __call__(self, request: Request, /, behind: float = 0.0) -> Awaitable[Response]:
        """``behind``: seconds by which it is less urgent than others."""
        try:
            member = self._format.member(request)
        except Unmergeable as why:
            return self._batcher.bypass(why.reason, request, self.inner)
        if member.rows > self._most:
            return self._batcher.bypass("rows", request, self.inner)
        key = (self._place, alike(request), member.key)
        return self._batcher.submit(key, member, self.inner, self._format, behind)


class Ranked:
    """Reads how urgent each request is."""

    def __init__(self, inner: Batch, priorities: Priorities) -> None:
        self.inner = inner
        self._priorities = priorities

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        return self.inner(request, self._priorities.behind(request))


class Apart:
    """Outside Forward: notes the headers that keep callers apart, before those are thinned out."""

    def __init__(self, inner: Service, names: Iterable[str]) -> None:
        self.inner = inner
        self._names = frozenset(name.lower().encode() for name in names)

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        names = self._names
        request.apart = tuple([field for field in request.headers if field[0] in names])
        return self.inner(request)


def batcher(
    registry: Registry, backend: str, policy: config.Batch, workers: int, learnt: Learnt | None = None
) -> Batcher:
    """The batches of one backend in one of ``workers`` processes: share it among all stacks that call the backend.

    ``learnt``: what is known of the backend already.
    """
    # What event loops count from, too; but uvloop only in whole milliseconds, and once a turn.
    counted = Counted(registry, backend, workers)
    return Batcher(backend, policy, counted, RequestIds(), monotonic, workers, learnt)


def priorities(policy: config.Batch, *, in_body: bool) -> Priorities | None:
    """None where all requests are equally urgent. ``in_body``: v2 bodies may say it, too."""
    levels = policy.priority_levels
    if levels == 1:
        return None
    return Priorities(levels, policy.default_priority or levels // 2 + 1, policy.promote_after, in_body)


def batch(
    batcher: Batcher,
    format: Format,
    most: int,
    place: Hashable = None,
    priorities: Priorities | None = None,
) -> Layer:
    """``batcher``: shared among all stacks that call the backend; ``most``: ``maxBatchSize``.

    ``place``: equal where what stands behind treats the same call in the same way, so that such calls can be one, and
    in every configuration; None: nowhere else.
    """

    def layer(inner: Service) -> Service:
        made = Batch(inner, batcher, format, most, object() if place is None else place)
        return made if priorities is None else Ranked(made, priorities)

    return layer


def apart(names: Iterable[str]) -> Layer:
    """``names`` of headers: ``varyHeaders``."""
    names = tuple(names)
    return lambda inner: Apart(inner, names)
