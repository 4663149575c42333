"""Bytes of one backend connection to Responses. No asyncio in this file.

As strict as the other side: what is not exactly one answer to exactly one request raises, or leaves the connection
marked as not to be used again.
"""

from __future__ import annotations

from collections.abc import Callable

import httptools

from gateway.errors import BuffersFull, GatewayError, UpstreamProtocolError
from gateway.message import Headers, Response

from .buffers import UNCOUNTED, Buffers, Claim
from .heads import Heads, ResponseHead, response_head
from .wire import NO_BODY, NOT_RETURNED, extended, joined, nominated

MAX_INTERIM = 16
"""Interim (1xx) answers accepted before the final one."""

STREAM_FROM = 256 << 10
"""Bytes: an answer of a known length is passed on as it comes only if it is longer, even where that is allowed."""

MAX_HEAD = 64 << 10
MAX_FIELDS = 200

_VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")


class ResponseReader:
    """Feed it bytes after ``expect``; the answer is in ``response`` as soon as that is not None.

    Where it is not there yet but ``passing`` is true, whoever asked may go ahead with ``begun`` and ``take``; what is
    left of the body is in ``response`` in the end.
    """

    __slots__ = (
        "_body",
        "_buffers",
        "_claim",
        "_head_only",
        "_headers",
        "_heads",
        "_held",
        "_interim",
        "_max_body",
        "_may_pass",
        "_parser",
        "_plain",
        "_status",
        "_wire",
        "length",
        "passing",
        "persistent",
        "response",
        "started",
        "until_close",
    )

    def __init__(
        self,
        max_body: int,
        heads: Heads[ResponseHead],
        may_pass: Callable[[], bool] = lambda: False,
        buffers: Buffers | None = None,
    ) -> None:
        """``may_pass``: asked with the head of an answer whether it may be passed on before it is whole."""
        self._max_body = max_body
        self._heads = heads
        self._may_pass = may_pass
        self._buffers = buffers or Buffers()
        self._parser = httptools.HttpResponseParser(self)
        self._forget()
        self.expect(head_only=False)

    def expect(self, head_only: bool) -> None:
        """Get ready for the answer to the next request. ``head_only``: it was HEAD, so its answer has no body."""
        if self._wire:
            self._forget()
        self._head_only = head_only
        self.started = False
        """True once a byte of an answer was seen: from then on the request must not be sent again."""
        self.persistent = False
        """True when the connection can carry another request after this answer."""
        self.response: Response | None = None

    def _forget(self) -> None:
        """What parsing leaves behind. Most answers are not parsed: their head is known."""
        self._headers: Headers = []
        self._body: bytes | bytearray = b""
        self._claim: Claim | None = None
        self._held = b""
        self._status = 0
        self._wire = 0
        self._interim = 0
        self._plain = False
        self.until_close = False
        """True while a body is read whose end is the end of the connection (RFC 9112 section 6.3)."""
        self.passing = False
        """True from the head of an answer on that need not be kept until it is whole, up to its end."""
        self.length: int | None = None
        """Bytes of the body, where ``passing`` and the head says so."""

    def feed(self, data: bytes) -> None:
        """Take what the backend sent. Raises UpstreamProtocolError and BuffersFull."""
        self.started = True
        if self._wire or self._held or self._head_only:
            self._parse(data)
        else:
            self._parse_whole(data)

    @property
    def arriving(self) -> bool:
        """True once the head of an answer is there, until all of it is."""
        return self._status != 0 and self.response is None

    def begun(self) -> Response:
        """The answer without its body, once ``passing``."""
        return Response(self._status, self._headers)

    def take(self) -> bytes:
        """What has come of the body since the last time; it is forgotten here."""
        body = bytes(self._body)
        self._body = b""
        return body

    def _parse_whole(self, data: bytes) -> None:
        """Bytes that begin with a head: most often they are one whole answer, with a head that is known."""
        end = data.find(b"\r\n\r\n") + 4
        head, length = data[:end], len(data) - end
        known = self._heads.get(head)
        if known is not None and known.length == length <= self._max_body:
            self.persistent = True
            self.response = Response(known.status, known.headers, data[end:], encoded=known)
            return
        self._parse(data)
        response = self.response
        if response is not None and self.persistent and self._plain and len(response.body) == length:
            self._heads.learn(head, response_head(response.status, response.headers, length))

    def _parse(self, data: bytes) -> None:
        if not self._wire and not (data := self._starting(data)):
            return
        self._wire += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.persistent = False
            if self.response is None:  # else: garbage behind a whole answer, which is good in itself
                raise self._failure(error) from None
        if not self._status and self._wire > MAX_HEAD:
            raise UpstreamProtocolError(f"the head of the answer exceeds {MAX_HEAD} bytes")

    def _starting(self, data: bytes) -> bytes:
        """Hold bytes back until the version can be told: llhttp speaks more than HTTP, and lets empty lines lead."""
        data = self._held + data
        if data.startswith(_VERSIONS):
            return data
        if not any(version.startswith(data) for version in _VERSIONS):
            raise UpstreamProtocolError("the answer does not begin with HTTP/1.1 or HTTP/1.0")
        self._held = data
        return b""

    @staticmethod
    def _failure(error: Exception) -> GatewayError:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        return cause if isinstance(cause, GatewayError) else UpstreamProtocolError(f"malformed answer: {error}")

    def end(self) -> None:
        """The backend has sent all it will send: complete an answer that was waiting for just that."""
        if self.until_close and self.response is None:
            self.until_close = False
            self._complete()

    def close(self) -> None:
        """No more will come. Reader and parser know each other; parted, they need no garbage collection."""
        del self._parser, self._may_pass
        self._claim = None

    # llhttp calls these.

    def on_message_begin(self) -> None:
        if self.response is not None:
            self.persistent = False  # an answer that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status:
            return  # a trailer; those are dropped (RFC 9110 section 6.5.1)
        self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        if self.response is not None:
            return
        parser = self._parser
        if self._interim and parser.get_http_version() not in ("1.0", "1.1"):
            raise UpstreamProtocolError(f"the backend speaks HTTP/{parser.get_http_version()}")
        status = parser.get_status_code()
        if status < 200:
            self._check_interim(status)
            return
        if status > 599:
            raise UpstreamProtocolError(f"{status} is no HTTP status")
        self._status = status
        self.persistent = parser.should_keep_alive()
        self._check_head(status)

    def on_body(self, chunk: bytes) -> None:
        size = len(self._body) + len(chunk)
        if self.response is not None:
            self.persistent = False
            return
        if (size > UNCOUNTED or size > self._max_body) and not self.passing:
            self._check_growth(size)
        self._body = extended(self._body, chunk)

    def _check_growth(self, size: int) -> None:
        if size > self._max_body:
            raise UpstreamProtocolError(f"the answer exceeds {self._max_body} bytes")
        if self._claim is None:
            self._claim = Claim(self._buffers)
        if not self._claim.grow(size):
            raise BuffersFull("too many bytes of bodies are in flight", retry_after=1)

    def on_message_complete(self) -> None:
        if self.response is not None:
            return
        if self._status:
            # Once more: llhttp heeds "Connection: close" in a trailer, too.
            self.persistent = self.persistent and self._parser.should_keep_alive()
            self._complete()
        else:
            self._headers = []

    # The rules of a head.

    def _check_interim(self, status: int) -> None:
        self._interim += 1
        if not 100 <= status < 200 or status == 101:
            raise UpstreamProtocolError(f"unexpected status {status}")
        if self._interim > MAX_INTERIM:
            raise UpstreamProtocolError(f"more than {MAX_INTERIM} interim answers")

    def _check_head(self, status: int) -> None:
        headers = self._headers
        if len(headers) > MAX_FIELDS:
            raise UpstreamProtocolError(f"the answer has more than {MAX_FIELDS} header fields")
        fields = dict(headers)
        if len(fields) != len(headers):
            fields = joined(headers)
        coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
        if coding is not None and (coding.lower() != b"chunked" or self._parser.get_http_version() == "1.0"):
            raise UpstreamProtocolError("the only transfer coding understood is chunked, in HTTP/1.1")
        dropped = NOT_RETURNED
        connection = fields.get(b"connection")
        if connection is not None and (extra := nominated(connection)):
            dropped = dropped | extra
        self._headers = [field for field in headers if field[0] not in dropped]
        if self._head_only:
            self._complete_head(length)
        elif status in NO_BODY:
            # What announces a body may well send one.
            self.persistent = self.persistent and coding is None and (status == 304 or length is None)
        elif length is None:
            self.until_close = coding is None
            self.passing = self._may_pass()
        else:
            self._plain = not self._interim and b"x-request-id" not in fields  # that one is another every time
            self._check_length(int(length), fields)

    def _check_length(self, length: int, fields: dict[bytes, bytes]) -> None:
        if (length > STREAM_FROM or is_events(fields)) and self._may_pass():
            self.passing = True
            self.length = length
        elif length > self._max_body:
            raise UpstreamProtocolError(f"the answer of {length} bytes exceeds {self._max_body} bytes")
        elif not self._buffers.fits(length):
            raise BuffersFull(f"too many bytes of bodies are in flight for {length} more", retry_after=1)

    def _complete_head(self, length: bytes | None) -> None:
        """The answer to HEAD ends here; llhttp, and many a backend, think that the body it announces follows."""
        if length is not None and self._status not in NO_BODY:
            self._headers.append((b"content-length", length))
        self._complete()
        self.persistent = self.persistent and length == b"0"

    def _complete(self) -> None:
        self.response = Response(self._status, self._headers, self.take(), claim=self._claim)
        self._claim = None
        self.passing = False


def is_events(fields: dict[bytes, bytes]) -> bool:
    """Server-sent events are to be seen when they happen."""
    return fields.get(b"content-type", b"").lower().startswith(b"text/event-stream")
