"""Bytes of one client connection to Requests. No asyncio in this file.

llhttp does the parsing, in strict mode; RequestReader adds what it leaves open (RFC 9110, RFC 9112): versions, targets,
Host, transfer codings, limits. Whatever is refused raises and never becomes a Request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import NamedTuple

import httptools

from gateway.errors import (
    BadRequest,
    ExpectationFailed,
    GatewayError,
    HeadersTooLarge,
    NotImplementedByGateway,
    PayloadTooLarge,
    UriTooLong,
)
from gateway.message import Headers, Request

from .wire import MAX_TARGET, REQUEST_LINE, check_host, nominated, origin_form, requested_timeout

START, HEAD, BODY = range(3)

_SMALL_CHUNKS_ALLOWANCE = 64 << 10


class Arrival(NamedTuple):
    """A complete request, and what its answer must know about the connection."""

    request: Request
    persistent: bool
    minor: int
    """Minor HTTP version: 0 or 1."""


class ReaderLimits(NamedTuple):
    """Bytes, bytes and a count, as in ``server.limits``."""

    body: int
    head: int
    fields: int


class RequestReader:
    """Feed it bytes; complete requests appear in ``arrived``. After it has raised, it must not be fed again."""

    __slots__ = (
        "_chunks",
        "_error",
        "_headers",
        "_held",
        "_id",
        "_minor",
        "_parser",
        "_persistent",
        "_size",
        "_target",
        "_timeout",
        "_wire",
        "arrived",
        "clock",
        "expects",
        "limits",
        "state",
    )

    def __init__(self, limits: ReaderLimits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.clock = clock
        self.arrived: deque[Arrival] = deque()
        self.state = START
        self.expects = False
        """The client waits for ``100 Continue`` before it sends its body."""
        self._parser = httptools.HttpRequestParser(self)
        self._error: GatewayError | None = None
        self._held = b""
        self._minor: int | None = None
        self._headers: Headers = []
        self._target = b""
        self._id = b""
        self._chunks: list[bytes] = []
        self._size = 0
        self._wire = 0
        self._persistent = True
        self._timeout: float | None = None

    def feed(self, data: bytes) -> None:
        """Take what the client sent. Raises the GatewayError to refuse it with."""
        if self.state == START:
            data = self._starting(data)
            if not data:
                return
        self._wire += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as pause:
            self._ignore_upgrade(data[pause.args[0] :])
        except httptools.HttpParserError as error:
            if self.exhausted:
                return  # bytes after the last request of a connection: nobody will read them
            raise self._refusal(error) from None
        if self.state != START:
            self._check_growth()

    @property
    def exhausted(self) -> bool:
        """True once a request has said that it is the connection's last."""
        return not self._persistent and self.state == START

    def _starting(self, data: bytes) -> bytes:
        """Hold bytes back until there is a whole request line, then check it."""
        if self._held:
            data = self._held + data
            self._held = b""
        match = REQUEST_LINE.match(data)
        if match is not None:
            self._minor = data[match.start(1)] - 48
            return data
        if b"\n" not in data.removeprefix(b"\r\n"):
            if len(data) > MAX_TARGET + 64:
                raise UriTooLong(f"the request line exceeds {MAX_TARGET} bytes")
            self._held = data
            return b""
        raise BadRequest("the request line is not 'METHOD target HTTP/1.1'")

    @property
    def started(self) -> bool:
        """True while a request has begun but is not complete."""
        return self.state != START or bool(self._held)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1, as RFC 9110 section 7.8 lets a server do; llhttp stops at every Upgrade."""
        self._parser = httptools.HttpRequestParser(self)
        if rest:
            self.feed(rest)

    def _refusal(self, error: Exception) -> GatewayError:
        if self._error is not None:
            return self._error
        if isinstance(error, httptools.HttpParserInvalidMethodError):
            return NotImplementedByGateway("the request method is unknown")
        return BadRequest(f"malformed request: {error}")

    def _refuse(self, error: GatewayError) -> GatewayError:
        self._error = error
        return error

    def _check_growth(self) -> None:
        if self.state == HEAD:
            if self._wire > self.limits.head:
                raise HeadersTooLarge(f"the request head exceeds {self.limits.head} bytes")
        elif self._wire > _SMALL_CHUNKS_ALLOWANCE + self.limits.head + 8 * self._size:
            raise BadRequest("the chunked body is mostly framing")

    # llhttp calls these, in this order.

    def on_message_begin(self) -> None:
        self.state = HEAD
        self._headers = []
        self._target = b""
        self._chunks = []
        self._size = 0

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > MAX_TARGET:
            raise self._refuse(UriTooLong(f"the request target exceeds {MAX_TARGET} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state == HEAD:  # else it is a trailer; those are read and dropped (RFC 9110 section 6.5.1)
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        try:
            self._check_head()
        except GatewayError as error:
            self._error = error
            raise
        self.state = BODY

    def on_body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self.limits.body:
            raise self._refuse(PayloadTooLarge(f"the body exceeds {self.limits.body} bytes"))
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        deadline = inf if self._timeout is None else self.clock() + self._timeout
        request = Request(self._parser.get_method(), self._target, self._headers, body, deadline, self._id)
        self.arrived.append(Arrival(request, self._persistent, self._minor or 0))
        self.state = START
        self.expects = False
        self._minor = None
        self._wire = 0

    # The rules of a head.

    def _check_head(self) -> None:
        headers = self._headers
        fields = dict(headers)
        if len(fields) != len(headers):
            self._check_repeated()
        if len(headers) > self.limits.fields:
            raise HeadersTooLarge(f"more than {self.limits.fields} header fields")
        if self._wire > self.limits.head and sum(len(n) + len(v) + 4 for n, v in headers) > self.limits.head:
            raise HeadersTooLarge(f"the request head exceeds {self.limits.head} bytes")
        if self._minor is None:
            self._check_version()
        self._check_target(fields)
        self._check_framing(fields)
        self._timeout = requested_timeout(fields)
        self._id = fields.get(b"x-request-id", b"")
        self._persistent = self._parser.should_keep_alive()
        connection = fields.get(b"connection")
        if connection is not None and (drop := nominated(connection)):
            self._headers = [field for field in headers if field[0] not in drop]

    def _check_version(self) -> None:
        """For a request pipelined behind another in one read; the first one's line was matched already."""
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise BadRequest(f"HTTP/{version} is not spoken here")
        self._minor = int(version[2])

    def _check_repeated(self) -> None:
        names = [name for name, _ in self._headers]
        for name in (b"host", b"content-type", b"inference-header-content-length", b"x-request-timeout-ms"):
            if names.count(name) > 1:
                raise BadRequest(f"more than one {name.decode()} header")

    def _check_target(self, fields: dict[bytes, bytes]) -> None:
        host = fields.get(b"host")
        if host is not None:
            check_host(host)
        elif self._minor:
            raise BadRequest("an HTTP/1.1 request needs a Host header")
        target = self._target
        if target[:1] != b"/":
            self._rewrite_target(target)
        elif b"#" in target:
            raise BadRequest("the request target has a fragment")

    def _rewrite_target(self, target: bytes) -> None:
        method = self._parser.get_method()
        if method == b"CONNECT":
            raise NotImplementedByGateway("CONNECT: this is no forward proxy")
        if target == b"*" and method == b"OPTIONS":
            return
        self._target, authority = origin_form(target)
        self._headers = [field for field in self._headers if field[0] != b"host"] + [(b"host", authority or b"")]

    def _check_framing(self, fields: dict[bytes, bytes]) -> None:
        coding = fields.get(b"transfer-encoding")
        if coding is not None:
            if not self._minor:
                raise BadRequest("HTTP/1.0 has no Transfer-Encoding")
            if coding.lower() != b"chunked":
                raise NotImplementedByGateway("the only transfer coding understood is chunked")
        length = int(fields.get(b"content-length", b"0"))
        if length > self.limits.body:
            raise PayloadTooLarge(f"the body of {length} bytes exceeds {self.limits.body} bytes")
        expect = fields.get(b"expect")
        if expect is not None and self._minor:
            if expect.lower() != b"100-continue":
                raise ExpectationFailed("the only expectation understood is 100-continue")
            self.expects = coding is not None or length > 0
