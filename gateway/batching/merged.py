"""The one call that stands for several: what it says of itself besides its rows.

The rule: what belongs to one member only is left out, or is the batch's own; everything else is equal, by the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from gateway.formats.format import Format, Member
from gateway.layers.attempt import attempt
from gateway.message import UNPARSED, Request

OF_ONE: Final = frozenset(
    (
        *(b"traceparent", b"tracestate", b"baggage", b"b3", b"x-request-id"),
        *(b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"),
        *(b"x-forwarded-for", b"forwarded", b"x-real-ip"),
    )
)
"""Headers that tell one request from another and mean nothing to a model: they keep no two requests apart."""

FRAMING: Final = b"inference-header-content-length"
"""Each member has its own, and so has the call for them all."""

_ID = re.compile(rb"(?<=x-request-id: )[^\r]*")


def alike(request: Request) -> Hashable:
    """What two requests must have in common, besides their format's key, to be the same call to a backend."""
    headers = tuple([field for field in request.headers if field[0] not in OF_ONE and field[0] != FRAMING])
    return request.method, request.target, headers, request.apart, request.affinity


def merged(format: Format, members: Sequence[Member], new_id: Callable[[], bytes], now: float) -> Request:
    """One call for all ``members``, more than one, made at the loop time ``now``; its deadline is the last of theirs.

    Its trace is the first among theirs. Raises Unmergeable or Mismatch as the format does.
    """
    requests = [member.request for member in members]
    body = format.merge(members)
    first = next((request for request in requests if request.trace is not None), requests[0])
    call = attempt(first, 1, now, max(request.deadline for request in requests))
    call.body = body.body
    call.headers = [field for field in body.headers if field[0] not in OF_ONE]
    call.encoded = None
    call.document = UNPARSED
    call.stamp = _ID.sub(lambda _: new_id(), call.stamp)
    call.hurried = all(request.hurried for request in requests)
    call.record = None
    call.streams = False
    return call
