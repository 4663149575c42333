"""A body as JSON, read at most once a message.

Content codings are undone for reading only: a body travels on as it came. Of a v2 body with binary tensors only the
JSON part is read (Inference-Header-Content-Length). Strict JSON (RFC 8259): UTF-8, no NaN, nested no deeper than the
parser's 1024 levels. Whatever is not that is NOT_JSON, never an exception.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec
import orjson

from gateway.errors import BadRequest, GatewayError, PayloadTooLarge, UnsupportedMediaType, UpstreamUnusable
from gateway.message import UNPARSED, Request, Response, header

MAX_DECODED: Final = 64 << 20
"""Bytes that a compressed body may grow to."""

_MAX_MEMBERS = 64  # of a gzip body: each one copies what is left of the input
_WINDOW = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}  # zlib's wbits for RFC 1952 and RFC 1950
_check_json = msgspec.json.Decoder(msgspec.Raw).decode


class _NotJson:
    def __repr__(self) -> str:
        return "NOT_JSON"


NOT_JSON: Final = _NotJson()
"""What ``document`` returns for a body that is not JSON."""


def document(message: Request | Response) -> object:
    """The body as parsed JSON, or NOT_JSON; kept in ``message.document``. Raises what ``decoded`` raises."""
    if message.document is UNPARSED:
        message.document = _parsed(_json_part(message))
    return message.document


def _json_part(message: Request | Response) -> bytes:
    body = decoded(message)
    length = header(message.headers, b"inference-header-content-length")
    return body if length is None or not length.isdigit() else body[: int(length[:20])]


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return NOT_JSON


def raw_json(response: Response) -> bytes:
    """The body as checked JSON text in UTF-8, to be spliced into another. Raises UpstreamUnusable when it is not."""
    body = decoded(response)
    try:
        _check_json(body)
        if not body.isascii():
            body.decode()  # the check above does not look inside strings
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamUnusable(f"the answer is not JSON: {error}") from None
    return body.strip(b" \t\r\n")


def decoded(message: Request | Response, limit: int = MAX_DECODED) -> bytes:
    """The body without its Content-Encoding (RFC 9110 section 8.4): gzip, deflate or none.

    Raises UnsupportedMediaType, PayloadTooLarge or BadRequest for a request, UpstreamUnusable for an answer.
    """
    body = message.body
    for name, value in reversed(message.headers):
        if name == b"content-encoding":
            for coding in reversed(value.lower().split(b",")):
                body = _undone(message, coding.strip(), body, limit)
    return body


def _undone(message: Request | Response, coding: bytes, body: bytes, limit: int) -> bytes:
    if coding in (b"", b"identity") or not body:
        return body
    if coding not in _WINDOW:
        raise _blame(message, UnsupportedMediaType, f"cannot read content-encoding {coding.decode('latin-1')}")
    try:
        body = _inflated(body, _WINDOW[coding], limit)
    except zlib.error as error:
        raise _blame(message, BadRequest, f"the body is not {coding.decode()}: {error}") from None
    if len(body) > limit:
        raise _blame(message, PayloadTooLarge, f"the body is larger than {limit} bytes once decompressed")
    return body


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    """At most ``limit`` + 1 bytes, from however many gzip members (RFC 1952 section 2.2)."""
    out = bytearray()
    for _ in range(_MAX_MEMBERS):
        engine = zlib.decompressobj(window)
        out += engine.decompress(body, limit + 1 - len(out))
        if len(out) > limit:
            break
        if not engine.eof:
            raise zlib.error("incomplete")
        body = engine.unused_data
        if not body:
            return bytes(out)
    else:
        raise zlib.error("too many members")
    return bytes(out)


def _blame(message: Request | Response, clients: type[GatewayError], detail: str) -> GatewayError:
    """The client's error for what the client sent; the model server's for what it answered."""
    return clients(detail) if isinstance(message, Request) else UpstreamUnusable(detail)
