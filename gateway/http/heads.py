"""Heads that were parsed before: clients and backends repeat theirs to the byte, and then parsing tells nothing new.

The rule: only what llhttp and our own checks have accepted is kept, and only what depends on nothing but its bytes. It
is used only where the head stands alone with all of its body; everything else goes the long way.
"""

from __future__ import annotations

from typing import TypeVar

from gateway.message import Encoded, Headers

from .wire import STATUS_LINES, encode_fields

ROOM = 512
"""Heads kept; when there are more, all are forgotten, which costs no more than parsing each once again."""

LONGEST = 2048
"""Bytes of a head worth keeping."""

UNREPEATED = frozenset(
    (
        *(b"x-request-id", b"traceparent", b"tracestate", b"x-amzn-trace-id"),
        *(b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled", b"x-b3-flags"),
    )
)
"""Fields that are another every time, or about traces: a head with one of them is not kept, and always read; one of a
request is kept without them (repeated.py)."""


class RequestHead(Encoded, frozen=True, eq=False, gc=False):
    """What the reader of requests makes of a head; ``length`` of the body that follows."""

    method: bytes
    target: bytes
    length: int


class ResponseHead(Encoded, frozen=True, eq=False, gc=False):
    """What the reader of answers makes of a head; ``length`` of the body that follows."""

    status: int
    length: int
    start: bytes
    """The head as it is passed on, but for what the gateway adds and the empty line."""
    dated: bool
    """Whether the backend has said when it made the answer."""


def request_head(method: bytes, target: bytes, headers: Headers, length: int) -> RequestHead:
    """The head of a request, with its lines."""
    return RequestHead(headers, encode_fields(headers), method, target, length)


def response_head(status: int, headers: Headers, length: int) -> ResponseHead:
    """The head of an answer, with its lines."""
    lines = encode_fields(headers)
    start = b"%bcontent-length: %d\r\n" % (STATUS_LINES[status] + lines, length)
    return ResponseHead(headers, lines, status, length, start, any(name == b"date" for name, _ in headers))


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
