"""JSON as Go's encoding/json sees it: what it accepts, what it says of the rest, and how it writes a string.

It accepts more than RFC 8259 and the parsers below do: strings that are not UTF-8, lone surrogates, huge exponents.
"""

from __future__ import annotations

import json
from typing import Final, NoReturn

import msgspec
import orjson

from gateway.graph.document import NOT_JSON
from gateway.message import UNPARSED, Request, Response

from .errors import RouterError
from .gosyntax import syntax_error

SPACE: Final = b" \t\r\n"
_MAX_SCANNED = 1 << 20  # bytes; the exact words for a mistake further on are not worth the time
_check = msgspec.json.Decoder(msgspec.Raw).decode
_KINDS = {b"[": "array", b'"': "string", b"t": "bool", b"f": "bool"}
_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_SAFE = str.maketrans(_HTML)


def valid(body: bytes) -> bool:
    """Go's json.Valid."""
    try:
        _check(body)
    except (msgspec.DecodeError, RecursionError):
        return _parsed(body) is not NOT_JSON
    return True


def document(message: Request | Response) -> object:
    """The body as parsed JSON, or NOT_JSON; kept in ``message.document``. No content coding is undone."""
    if message.document is UNPARSED:
        message.document = _parsed(message.body)
    return message.document


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parsed_leniently(body)


def _parsed_leniently(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8", "replace"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NOT_JSON


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def object_text(body: bytes) -> bytes:
    """The JSON text of the object, or null, that is ``body``. Raises RouterError with json.Unmarshal's words."""
    if not valid(body):
        raise RouterError(syntax_error(body[:_MAX_SCANNED]) or "exceeded max depth")
    text = body.strip(SPACE)
    if not text.startswith((b"{", b"n")):
        kind = _KINDS.get(text[:1], "number")
        raise RouterError(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    return text if text.isascii() else text.decode("utf-8", "replace").encode()


def string(text: str) -> bytes:
    """``text`` as Go's json.Marshal writes it: safe inside HTML."""
    clean = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return orjson.dumps(clean).decode().translate(_SAFE).encode()


def quoted(text: str) -> str:
    """``text`` as Go's %q writes it, for printable text."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
