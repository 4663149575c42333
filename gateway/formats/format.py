"""What the batcher knows of inference protocols: how requests merge into one call, and how its answer is split.

The rule: nothing is merged that is not understood, and nothing is sliced that does not add up. Numbers are never read
and written again: bodies are cut and joined as the text they came as.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, Literal, Protocol, get_args

import msgspec

from gateway.message import Request, Response

Reason = Literal[
    "method",  # not a POST
    "path",  # not a verb that works row by row
    "streaming",  # the answer is wanted as a stream of events
    "large",  # reading it would keep everybody else waiting
    "encoding",  # a Content-Encoding that cannot be undone
    "malformed",  # not what the protocol says; let the model server complain
    "shape",  # the number of rows is unknown, or the inputs disagree about it
    "empty",  # no rows
    "data",  # fewer or more elements than the shape promises: the rows of others would shift
    "datatype",  # binary data of a type whose size is unknown
    "stateful",  # part of a sequence, which one instance of the model remembers
    "shared_memory",  # the data are not in the body
    "raw",  # binary data that nothing describes
]

REASONS: Final[tuple[str, ...]] = get_args(Reason)
"""Why a request is not merged; all there are."""


class Member(msgspec.Struct, eq=False):
    """One request that can be merged with others of the same ``key``."""

    request: Request
    rows: int
    """At least 1."""
    key: Hashable
    """Everything that must be equal for two requests to share a call, but for the backend and the vary-headers."""
    parsed: Any
    """What the format needs to merge it; nobody else's business."""


class Unmergeable(Exception):
    """The request cannot share a call and passes through as it came."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        """One of REASONS."""


class Mismatch(Exception):
    """The rows of an answer do not add up, or it is not what the protocol says: it must not be sliced."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Format(Protocol):
    """The bodies of one protocol. ``gateway.formats.format_of`` finds it."""

    def member(self, request: Request, /) -> Member:
        """What of ``request`` matters for merging. Raises Unmergeable."""

    def merge(self, members: Sequence[Member], /) -> Request:
        """One call for all ``members``, at least one, whose keys are equal. A single one is sent as it came.

        All but the body and what describes it is the first member's: the headers, the deadline, the trace.
        """

    def split(self, answer: Response, members: Sequence[Member], /) -> list[Response]:
        """For each of ``members`` its own rows, in order; a single one gets ``answer`` as it is. Raises Mismatch.

        For successful answers only: an error has no rows.
        """
