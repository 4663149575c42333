"""Bytes of one backend connection to Responses. No asyncio in this file.

As strict as the other side: what is not exactly one answer to exactly one request raises, or leaves the connection
marked as not to be used again.
"""

from __future__ import annotations

import httptools

from gateway.errors import UpstreamProtocolError
from gateway.message import Headers, Response

from .wire import NOT_RETURNED, nominated

MAX_INTERIM = 16
"""Interim (1xx) answers accepted before the final one."""

MAX_HEAD = 64 << 10
MAX_FIELDS = 200

_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection"))
_VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")


class ResponseReader:
    """Feed it bytes after ``expect``; the answer is in ``response`` as soon as that is not None."""

    __slots__ = (
        "_body_size",
        "_chunks",
        "_framing",
        "_head_only",
        "_headers",
        "_interim",
        "_max_body",
        "_parser",
        "_status",
        "_version_checked",
        "_wire",
        "persistent",
        "response",
        "started",
        "until_close",
    )

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._parser = httptools.HttpResponseParser(self)
        self.expect(head_only=False)

    def expect(self, *, head_only: bool) -> None:
        """Get ready for the answer to the next request. ``head_only``: it was HEAD, so its answer has no body."""
        self._head_only = head_only
        self._headers: Headers = []
        self._framing: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._status = 0
        self._body_size = 0
        self._wire = 0
        self._interim = 0
        self._version_checked = False
        self.started = False
        """True once a byte of an answer was seen: from then on the request must not be sent again."""
        self.persistent = False
        """True when the connection can carry another request after this answer."""
        self.until_close = False
        """True while a body is read whose end is the end of the connection (RFC 9112 section 6.3)."""
        self.response: Response | None = None

    def feed(self, data: bytes) -> None:
        """Take what the backend sent. Raises UpstreamProtocolError."""
        if not self.started:
            self.started = True
            self._version_checked = data.startswith(_VERSIONS)
        self._wire += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.persistent = False
            if self.response is None:  # else: garbage behind a whole answer, which is good in itself
                cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
                if isinstance(cause, UpstreamProtocolError):
                    raise cause from None
                raise UpstreamProtocolError(f"malformed answer: {error}") from None
        except httptools.HttpParserUpgrade:
            raise UpstreamProtocolError("the backend wants to switch protocols") from None
        if not self._status and self._wire > MAX_HEAD:
            raise UpstreamProtocolError(f"the head of the answer exceeds {MAX_HEAD} bytes")

    def end(self) -> None:
        """The connection has ended: complete an answer that was waiting for just that."""
        if self.until_close and self.response is None:
            self.until_close = False
            self._complete()

    # llhttp calls these.

    def on_message_begin(self) -> None:
        if self.response is not None:
            self.persistent = False  # an answer that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status:
            return  # a trailer; those are dropped (RFC 9110 section 6.5.1)
        name = name.lower()
        if name in _FRAMING:
            self._framing[name] = value
        elif name not in NOT_RETURNED:
            self._headers.append((name, value))
        if len(self._headers) > MAX_FIELDS:
            raise UpstreamProtocolError(f"the answer has more than {MAX_FIELDS} header fields")

    def on_headers_complete(self) -> None:
        if self.response is not None:
            return
        parser = self._parser
        if not self._version_checked and parser.get_http_version() not in ("1.0", "1.1"):
            raise UpstreamProtocolError(f"the backend speaks HTTP/{parser.get_http_version()}")
        status = parser.get_status_code()
        if status < 200:
            self._check_interim(status)
            return
        if status > 599:
            raise UpstreamProtocolError(f"{status} is no HTTP status")
        self._status = status
        self.persistent = parser.should_keep_alive()
        self._check_framing(status)

    def on_body(self, chunk: bytes) -> None:
        self._body_size += len(chunk)
        if self._body_size > self._max_body:
            raise UpstreamProtocolError(f"the answer exceeds {self._max_body} bytes")
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if self.response is not None:
            return
        if self._status:
            self._complete()
        else:
            self._headers, self._framing, self._version_checked = [], {}, False

    # The rules of a head.

    def _check_interim(self, status: int) -> None:
        self._interim += 1
        if not 100 <= status < 200 or status == 101:
            raise UpstreamProtocolError(f"unexpected status {status}")
        if self._interim > MAX_INTERIM:
            raise UpstreamProtocolError(f"more than {MAX_INTERIM} interim answers")

    def _check_framing(self, status: int) -> None:
        framing = self._framing
        coding, length = framing.get(b"transfer-encoding"), framing.get(b"content-length")
        if coding is not None and (coding.lower() != b"chunked" or self._parser.get_http_version() == "1.0"):
            raise UpstreamProtocolError("the only transfer coding understood is chunked, in HTTP/1.1")
        connection = framing.get(b"connection")
        if connection is not None and (drop := nominated(connection)):
            self._headers = [field for field in self._headers if field[0] not in drop]
        if self._head_only:
            self._complete_head(length)
        elif length is None:
            self.until_close = coding is None and status not in (204, 304)
        elif int(length) > self._max_body:
            raise UpstreamProtocolError(f"the answer of {int(length)} bytes exceeds {self._max_body} bytes")

    def _complete_head(self, length: bytes | None) -> None:
        """llhttp waits for a body that an answer to HEAD does not have: this parser has had its day."""
        if length is not None:
            self._headers.append((b"content-length", length))
        self._complete()
        self._parser = httptools.HttpResponseParser(self)

    def _complete(self) -> None:
        chunks = self._chunks
        self.response = Response(self._status, self._headers, chunks[0] if len(chunks) == 1 else b"".join(chunks))
