"""Requests whose heads are known but for fields that are another every time, such as a request id or a traceparent.

The rule: what comes of it is what the parser would have made of the whole head, in another order; where that is not
certain, the parser is asked.
"""

from __future__ import annotations

import re
from math import inf

from gateway.message import Headers, Request

from .arrival import ReaderLimits
from .heads import UNREPEATED, request_head

_LINES = re.compile(rb"\r\n(?=[BTXbtx])((?i:%b)): *([!-~][ -~]*)(?=\r\n)" % b"|".join(sorted(UNREPEATED)))
"""Their first letters are looked at before their names: that makes the search three times as fast."""


def parted(head: bytes) -> tuple[bytes, Headers]:
    """``head`` without the lines that are another every time, and the fields in them."""
    parts = _LINES.split(head)
    if len(parts) == 1:
        return head, []
    return b"".join(parts[::3]), [(parts[at].lower(), parts[at + 1].rstrip()) for at in range(1, len(parts), 3)]


def recalled(limits: ReaderLimits, bare: bytes, others: Headers, size: int, body: bytes) -> Request | None:
    """The request whose head is ``bare`` and the fields of ``others``; None if that is not known, or may be refused.

    ``size``: of the whole head.
    """
    known = limits.heads.get(bare)
    if known is None or known.length != len(body) or size > limits.head:
        return None
    fields = dict(others)
    headers = known.headers + others
    if len(fields) < len(others) or len(headers) > limits.fields:
        return None
    return Request(known.method, known.target, headers, body, inf, fields.get(b"x-request-id", b""))


def learn(limits: ReaderLimits, bare: bytes, others: Headers, request: Request, length: int) -> None:
    """Keep the head of ``request``, which was ``bare`` and the fields of ``others``, unless that is not all there was.

    ``length``: of what came behind the head.
    """
    headers = [field for field in request.headers if field[0] not in UNREPEATED]
    if len(headers) + len(others) == len(request.headers) and len(request.body) == length:
        limits.heads.learn(bare, request_head(request.method, request.target, headers, length))
