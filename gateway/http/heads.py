"""Heads that were parsed before: clients and backends repeat theirs to the byte, and then parsing tells nothing new.

The rule: only what llhttp and our own checks have accepted is kept, and only what depends on nothing but its bytes. It
is used only where the head stands alone with all of its body; everything else goes the long way.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from gateway.message import Headers

ROOM = 512
"""Heads kept; when there are more, all are forgotten, which costs no more than parsing each once again."""

LONGEST = 2048
"""Bytes of a head worth keeping."""

UNREPEATED = frozenset((b"x-request-id", b"traceparent", b"b3", b"x-b3-traceid", b"x-amzn-trace-id"))
"""Fields that are another every time: a head with one of them is not worth keeping."""


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """What the reader of requests makes of a head; ``length`` of the body that follows."""

    method: bytes
    target: bytes
    headers: Headers
    length: int


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """What the reader of answers makes of a head; ``length`` of the body that follows."""

    status: int
    headers: Headers
    length: int


T = TypeVar("T", RequestHead, ResponseHead)


class Heads(dict[bytes, T]):
    """Parsed heads by their bytes, the empty line included; bounded."""

    def learn(self, head: bytes, parsed: T) -> None:
        """Keep ``parsed``, unless it is not worth it. Nobody may change its headers afterwards."""
        if len(head) > LONGEST or any(name in UNREPEATED for name, _ in parsed.headers):
            return
        if len(self) >= ROOM:
            self.clear()
        self[head] = parsed
