"""Heads in and out, framing rules and constant tables, for both sides. No asyncio in this file.

What is sent on is always written anew from checked parts: no byte of the other side's framing survives (RFC 9112
section 6). Both readers sit on llhttp in strict mode; here are the rules that it leaves to its users.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from gateway.errors import BadRequest
from gateway.message import Headers, Request, Response

MAX_TARGET: Final = 8 << 10
"""Longest request target, in bytes (RFC 9112 section 3 recommends at least 8000)."""

HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)
"""Never passed on, in either direction (RFC 9110 section 7.6.1)."""

NOT_FORWARDED: Final = HOP_BY_HOP | {b"host", b"content-length", b"expect", b"x-request-timeout-ms", b"grpc-timeout"}
"""Client headers that no rule can make reach a backend: the gateway writes its own, or has acted on them."""

NOT_RETURNED: Final = HOP_BY_HOP | {b"content-length", b"x-request-id", b"x-gateway-route"}
"""Backend headers that never reach the client: the gateway writes its own."""

NO_BODY: Final = frozenset((204, 304))
"""Statuses whose answers have neither a body nor a length (RFC 9112 section 6.3)."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_REASONS = {status.value: status.phrase for status in HTTPStatus} | {499: "Client Closed Request"}

STATUS_LINES: Final = {
    code: f"HTTP/1.1 {code} {_REASONS.get(code, 'Unknown')}\r\n".encode() for code in range(200, 600)
}

REQUEST_LINE: Final = re.compile(rb"(?:\r\n)?[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [^\s]+ HTTP/1\.([01])\r\n")
"""A request line of HTTP/1.0 or 1.1, after at most one empty line (RFC 9112 section 2.2). Group 1: minor version."""

_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]+)(?::[0-9]{1,5})?")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]*)([^#]*)")
_good_hosts: set[bytes] = set()


def check_host(host: bytes) -> None:
    """Raise BadRequest unless ``host`` is one host with an optional port (RFC 9112 section 3.2)."""
    if host in _good_hosts:
        return
    if not _HOST.fullmatch(host):
        raise BadRequest("the Host header is not a host name with an optional port")
    if len(_good_hosts) < 1024:
        _good_hosts.add(host)


def origin_form(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of an absolute-form target, and its authority, which replaces Host (RFC 9112 section 3.2.2)."""
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest("the request target is neither a path nor an absolute http URL")
    authority, rest = match.groups()
    check_host(authority)
    return (rest if rest.startswith(b"/") else b"/" + rest), authority


def joined(headers: Headers) -> dict[bytes, bytes]:
    """Every field once, the values of repeated ones joined in order (RFC 9110 section 5.3)."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def nominated(connection: bytes) -> set[bytes]:
    """Header names that a Connection header declares hop-by-hop (RFC 9110 section 7.6.1)."""
    if connection in _COMMON_CONNECTIONS:
        return _NOTHING
    tokens = {token.strip().lower() for token in connection.split(b",")}
    return tokens - {b"close", b"keep-alive", b""}


_NOTHING: set[bytes] = set()
_COMMON_CONNECTIONS = frozenset((b"keep-alive", b"close", b"Keep-Alive", b"Close"))


_GRPC_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def requested_timeout(fields: dict[bytes, bytes]) -> float | None:
    """Seconds that the client is willing to wait, from ``x-request-timeout-ms`` or ``grpc-timeout``; None: unsaid."""
    if (text := fields.get(b"x-request-timeout-ms")) is not None:
        if not (text.isdigit() and len(text) <= 10):
            raise BadRequest("x-request-timeout-ms is not a whole number of milliseconds")
        return int(text) / 1000
    if (text := fields.get(b"grpc-timeout")) is not None:
        unit = _GRPC_UNITS.get(text[-1:])
        if unit is None or not text[:-1].isdigit() or len(text) > 9:
            raise BadRequest("grpc-timeout is not one to eight digits and one of the units H M S m u n")
        return int(text[:-1]) * unit
    return None


def extended(body: bytes | bytearray, chunk: bytes) -> bytes | bytearray:
    """``body`` and ``chunk``, without copying the one chunk that most bodies are.

    Not a list of chunks: two bytes of body would take sixty of memory.
    """
    if not body:
        return chunk
    if isinstance(body, bytearray):
        body += chunk
        return body
    return bytearray(body) + chunk


def encode_fields(headers: Headers) -> bytes:
    """``name: value`` lines, each ended by CRLF; empty for no headers."""
    if not headers:
        return b""
    return b"\r\n".join([b": ".join(field) for field in headers]) + b"\r\n"


def field_lines(message: Request | Response) -> bytes:
    """The header of ``message`` in lines, without the framing."""
    known = message.encoded
    if known is not None and known.headers is message.headers:
        return known.lines + message.stamp
    return encode_fields(message.headers) + message.stamp


def http_date(timestamp: float) -> bytes:
    """An IMF-fixdate (RFC 9110 section 5.6.7) of seconds since the epoch."""
    return formatdate(timestamp, usegmt=True).encode()
