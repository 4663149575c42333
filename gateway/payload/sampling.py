"""Which requests are logged. The rule: what a smaller share has, a larger one has too."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from random import random

from gateway.config.payload import PayloadLog

Sampled = Callable[[bytes], bool]
"""Whether the request with this id is logged."""


def sampling(log: PayloadLog, draw: Callable[[], float] = random) -> Sampled | None:
    """None: all are."""
    rate = log.sample_rate
    if rate >= 1:
        return None
    if log.sample_by == "random":
        return lambda _: draw() < rate
    limit = int(rate * 2**64)
    return lambda request_id: position(request_id) < limit


def position(request_id: bytes) -> int:
    """Where an id stands among all ids, from 0 to 2**64 - 1: the same in every process and every release."""
    return int.from_bytes(blake2b(request_id, digest_size=8).digest(), "big")
