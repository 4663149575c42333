"""Bytes of one client connection to Requests. No asyncio in this file.

llhttp does the parsing, in strict mode; RequestReader adds what it leaves open (RFC 9110, RFC 9112): versions, targets,
Host, transfer codings, upgrades, limits. Whatever is refused raises and never becomes a Request.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import httptools

from gateway.errors import (
    BadRequest,
    GatewayError,
    HeadersTooLarge,
    NotImplementedByGateway,
    Overloaded,
    PayloadTooLarge,
    UriTooLong,
)
from gateway.message import Headers, Request

from .arrival import Arrival, ReaderLimits
from .buffers import UNCOUNTED, Claim
from .head import body_follows, check_authority, combined, expects_continue, minor_version, path_form, replay
from .repeated import learn, parted, recalled
from .wire import MAX_TARGET, REQUEST_LINE, extended, nominated, requested_timeout

START, HEAD, BODY = range(3)

SLICE = 16 << 10
"""Bytes parsed in one go: a request takes far more room parsed than on the wire, and one read may bring thousands."""

_SMALL_CHUNKS_ALLOWANCE = 64 << 10


class RequestReader:
    """Feed it bytes; complete requests appear in ``arrived``. After it has raised, it must not be fed again."""

    __slots__ = (
        "_body",
        "_claim",
        "_error",
        "_headers",
        "_held",
        "_id",
        "_minor",
        "_parser",
        "_persistent",
        "_plain",
        "_replay",
        "_target",
        "_timeout",
        "_unread",
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
        self.arrived: list[Arrival] = []
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
        self._body: bytes | bytearray = b""
        self._claim: Claim | None = None
        self._replay = b""
        self._unread: list[bytes] = []
        self._wire = 0
        self._persistent = True
        self._plain = False
        self._timeout: float | None = None

    def feed(self, data: bytes) -> None:
        """Take what the client sent, but no more than it takes to have ``arrived`` not empty; the rest is ``behind``.

        ``b""`` goes on with that rest. Raises the GatewayError to refuse the client with.
        """
        if len(data) <= SLICE and not self._unread:
            if self.state != START or self._held or self.arrived or not self._persistent:
                self._parse(data)
            else:
                self._parse_whole(data)
            return
        self._unread += [data[at : at + SLICE] for at in range(0, len(data), SLICE)]
        while self._unread and not self.arrived:
            self._parse(self._unread.pop(0))

    def _parse_whole(self, data: bytes) -> None:
        """Bytes that begin with a head: most often they are one whole request, with a head that is known."""
        end = data.find(b"\r\n\r\n") + 4
        head, length = data[:end], len(data) - end
        known = self.limits.heads.get(head)
        if known is not None and known.length == length:
            request = Request(known.method, known.target, known.headers, data[end:], encoded=known)
            self.arrived.append(Arrival(request, True, 1))
            return
        bare, others = parted(head)
        if others and (again := recalled(self.limits, bare, others, end, data[end:])):
            self.arrived.append(Arrival(again, True, 1))
            return
        self._parse(data)
        if self._plain and self.state == START and len(self.arrived) == 1 and self.arrived[0].persistent:
            learn(self.limits, bare, others, self.arrived[0].request, length)

    @property
    def behind(self) -> bool:
        """True when there is more to come of what was fed already."""
        return bool(self.arrived or self._unread)

    def _parse(self, data: bytes) -> None:
        while data:
            if self.state == START:
                if not self._persistent:
                    return  # nobody will read what follows the last request of a connection
                if not (data := self._starting(data)):
                    return
            self._wire += len(data)
            rest = b""
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as pause:
                rest = data[pause.args[0] :]
                self._wire -= len(rest)
                self._ignore_upgrade()
            except httptools.HttpParserError as error:
                if not self.exhausted:
                    raise self._refusal(error) from None
            if self.state != START:
                self._check_growth()
            data = rest

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
    def asked(self) -> tuple[bytes, bytes]:
        """Method and target of a request that has begun; ``-`` each while they are not known."""
        known = self.state != START and self._target
        return (self._parser.get_method(), self._target) if known else (b"-", b"-")

    def close(self) -> None:
        """No more will come. Reader and parser know each other; parted, they need no garbage collection."""
        del self._parser
        self._claim = None
        self._error = None  # its traceback knows the reader, too

    @property
    def started(self) -> bool:
        """True while a request has begun but is not complete."""
        return self.state != START or (self._held != b"" and self._held.strip(b"\r\n") != b"")

    def _ignore_upgrade(self) -> None:
        """Go on in HTTP/1.1, as RFC 9110 section 7.8 lets a server do; llhttp stops at every Upgrade.

        It stops in front of the body, which is not to be taken for the next request: a fresh parser is told what is
        coming by a head with the same framing and no Upgrade.
        """
        self._parser = httptools.HttpRequestParser(self)
        if self._replay:
            target = self._target
            self._parser.feed_data(self._replay)
            self._target = target

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
        elif self._wire > _SMALL_CHUNKS_ALLOWANCE + self.limits.head + 8 * len(self._body):
            raise BadRequest("the chunked body is mostly framing")

    # llhttp calls these, in this order.

    def on_message_begin(self) -> None:
        if self._replay:
            return
        self.state = HEAD
        self._headers = []
        self._target = b""
        self._body = b""

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > MAX_TARGET:
            raise self._refuse(UriTooLong(f"the request target exceeds {MAX_TARGET} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state == HEAD:  # else it is a trailer; those are read and dropped (RFC 9110 section 6.5.1)
            self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        if self._replay:
            self._replay = b""
            return
        try:
            self._check_head()
        except GatewayError as error:
            self._error = error
            raise
        self.state = BODY

    def on_body(self, chunk: bytes) -> None:
        body = self._body
        size = len(body) + len(chunk)
        if size > self.limits.body:
            raise self._refuse(PayloadTooLarge(f"the body exceeds {self.limits.body} bytes"))
        if size > UNCOUNTED:
            if self._claim is None:
                self._claim = Claim(self.limits.buffers)
            if not self._claim.grow(size):
                raise self._refuse(_no_room())
        self._body = extended(body, chunk)

    def on_message_complete(self) -> None:
        if self._replay:
            return
        parser = self._parser
        # Not before: llhttp heeds "Connection: close" in a trailer, too.
        self._persistent = parser.should_keep_alive()
        deadline = inf if self._timeout is None else self.clock() + self._timeout
        request = Request(parser.get_method(), self._target, self._headers, bytes(self._body), deadline, self._id)
        request.minor = self._minor or 0
        if self._claim is not None:
            request.claim, self._claim = self._claim, None
        self.arrived.append(Arrival(request, self._persistent, request.minor))
        self.state = START
        self.expects = False
        self._body = b""
        self._minor = None
        self._wire = 0

    # The rules of a head.

    def _check_head(self) -> None:
        headers, parser = self._headers, self._parser
        if len(headers) > self.limits.fields:
            raise HeadersTooLarge(f"more than {self.limits.fields} header fields")
        fields = dict(headers)
        if len(fields) != len(headers):
            fields = combined(headers)
        if self._wire > self.limits.head and sum(len(n) + len(v) + 4 for n, v in headers) > self.limits.head:
            raise HeadersTooLarge(f"the request head exceeds {self.limits.head} bytes")
        method = parser.get_method()
        if self._minor is None:  # pipelined behind another in one read; the first one's line was matched already
            self._minor = minor_version(parser.get_http_version())
        minor = self._minor
        check_authority(fields, minor)
        self._target, self._headers = path_form(method, self._target, headers)
        follows = body_follows(fields, minor, self.limits.body)
        if follows and not self.limits.buffers.fits(int(fields.get(b"content-length", b"0"))):
            raise _no_room()
        self.expects = b"expect" in fields and expects_continue(fields, minor) and follows
        if follows and parser.should_upgrade():
            self._replay = replay(method, fields, parser.should_keep_alive())
        self._timeout = requested_timeout(fields)
        self._plain = minor == 1 and b"transfer-encoding" not in fields and self._timeout is None and not self.expects
        given = fields.get(b"x-request-id")
        self._id = b"" if given is None else given or b"?"  # an empty one is there, and as good as a malformed one
        connection = fields.get(b"connection")
        if connection is not None and (drop := nominated(connection)):
            self._headers = [field for field in self._headers if field[0] not in drop]


def _no_room() -> Overloaded:
    return Overloaded("too many bytes of bodies are in flight", retry_after=1)
