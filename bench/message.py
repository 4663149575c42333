"""What the programs of the bench know of HTTP/1.1 messages: heads in one piece, bodies with a content-length."""

from __future__ import annotations

import re

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def whole(received: bytes) -> tuple[bytes, bytes] | None:
    """Head and body of the one message in ``received``; None while a part of it is missing."""
    head, end, body = received.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    if not end or (length and len(body) < int(length[1])):
        return None
    return head, body
