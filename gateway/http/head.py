"""The rules of a request's head that llhttp leaves to its users (RFC 9110, RFC 9112). No asyncio in this file.

Each function raises the GatewayError to refuse the client with.
"""

from __future__ import annotations

from gateway.errors import BadRequest, ExpectationFailed, NotImplementedByGateway, PayloadTooLarge
from gateway.message import Headers

from .wire import check_host, joined, origin_form

_SINGLE = (b"host", b"content-type", b"inference-header-content-length", b"x-request-timeout-ms", b"grpc-timeout")
"""Fields that mean nothing certain when they come twice."""


def combined(headers: Headers) -> dict[bytes, bytes]:
    """Every field once, the values of repeated ones joined (RFC 9110 section 5.3)."""
    names = [name for name, _ in headers]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise BadRequest(f"more than one {name.decode()} header")
    return joined(headers)


def check_authority(fields: dict[bytes, bytes], minor: int) -> None:
    """One good Host, which only HTTP/1.0 may do without (RFC 9112 section 3.2)."""
    host = fields.get(b"host")
    if host is not None:
        check_host(host)
    elif minor:
        raise BadRequest("an HTTP/1.1 request needs a Host header")


def minor_version(version: str) -> int:
    """Of HTTP/1.0 and HTTP/1.1."""
    if version not in ("1.0", "1.1"):
        raise BadRequest(f"HTTP/{version} is not spoken here")
    return int(version[2])


def path_form(method: bytes, target: bytes, headers: Headers) -> tuple[bytes, Headers]:
    """The target as a path, and the headers: in absolute form, the authority in it wins over Host."""
    if target[:1] == b"/" and method != b"CONNECT":
        if b"#" in target:
            raise BadRequest("the request target has a fragment")
        return target, headers
    if method == b"CONNECT":
        raise NotImplementedByGateway("CONNECT: this is no forward proxy")
    if target == b"*" and method == b"OPTIONS":
        return target, headers
    path, authority = origin_form(target)
    return path, [field for field in headers if field[0] != b"host"] + [(b"host", authority)]


def body_follows(fields: dict[bytes, bytes], minor: int, max_body: int) -> bool:
    """Whether the head announces a body, which must be one that we can and want to read."""
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if not minor:
            raise BadRequest("HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise NotImplementedByGateway("the only transfer coding understood is chunked")
        return True
    length = int(fields.get(b"content-length", b"0"))
    if length > max_body:
        raise PayloadTooLarge(f"the body of {length} bytes exceeds {max_body} bytes")
    return length > 0


def expects_continue(fields: dict[bytes, bytes], minor: int) -> bool:
    """Whether the client waits for ``100 Continue`` (RFC 9110 section 10.1.1)."""
    expect = fields.get(b"expect")
    if expect is None or not minor:
        return False
    if expect.lower() != b"100-continue":
        raise ExpectationFailed("the only expectation understood is 100-continue")
    return True


def replay(method: bytes, fields: dict[bytes, bytes], persistent: bool) -> bytes:
    """A head of its own for the body of a request that asks for an upgrade: the same framing, and no Upgrade."""
    length = fields.get(b"content-length")
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: " + length
    connection = b"keep-alive" if persistent else b"close"
    return b"%b / HTTP/1.1\r\n%b\r\nconnection: %b\r\n\r\n" % (method, framing, connection)
