"""The head of an answer, with the only framing that it has (RFC 9112 section 6). No asyncio in this file."""

from __future__ import annotations

from gateway.message import Response

from .heads import ResponseHead
from .wire import NO_BODY, STATUS_LINES, field_lines


def known_head(response: Response, date: bytes) -> bytes:
    """The head of an answer of HTTP/1.1 that passes through as its backend sent it; empty for any other.

    ``date``: the field for an answer that does not have one.
    """
    known = response.encoded
    if (
        isinstance(known, ResponseHead)
        and known.headers is response.headers
        and known.length == len(response.body)
        and known.status == response.status
    ):
        return known.start + response.stamp + (b"\r\n" if known.dated else date + b"\r\n")
    return b""


def length(response: Response, head_only: bool) -> bytes:
    """The field that announces a whole body, or none; ``head_only``: it answers HEAD, and has no body to measure."""
    # What the answer to HEAD leaves out the backend alone knows; if it said how long it is, the headers say so.
    lengthless = response.status in NO_BODY or (head_only and not response.body)
    return b"" if lengthless else b"content-length: %d\r\n" % len(response.body)


def connection(minor: int, closing: bool) -> bytes:
    """The Connection field, where HTTP/1.``minor`` needs one (RFC 9112 section 9.3)."""
    if closing:
        return b"connection: close\r\n"
    return b"" if minor else b"connection: keep-alive\r\n"


def whole_head(response: Response, framing: bytes, connection: bytes, date: bytes) -> bytes:
    """The head of any answer; ``framing``, ``connection`` and ``date`` are its other fields, each with its CRLF."""
    fields = field_lines(response)
    if b"\r\ndate: " in fields or fields.startswith(b"date: "):
        date = b""
    return b"".join((STATUS_LINES[response.status], fields, framing, connection, date, b"\r\n"))
