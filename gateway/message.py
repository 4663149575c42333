"""Request and Response: the two things that travel.

Header names are lower-case bytes everywhere inside the gateway; values are bytes, stripped of surrounding white space.
The rule: ``headers`` are replaced and never changed in place, since messages with the same head share them.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .stream import Stream

if TYPE_CHECKING:
    from gateway.telemetry.tracing.span import Span

Headers = list[tuple[bytes, bytes]]


class _Unparsed:
    def __repr__(self) -> str:
        return "UNPARSED"


UNPARSED: Final[Any] = _Unparsed()
"""Marks a message whose body nobody has read as JSON yet; see gateway/graph/document.py."""

REPRESENTATION: Final = frozenset(
    (b"content-type", b"content-encoding", b"content-language", b"inference-header-content-length")
)
"""Headers that describe the body (RFC 9110 section 8) and so travel with it, wherever it goes."""


class Encoded(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Headers that come again and again, and the lines that they are sent as."""

    headers: Headers
    lines: bytes


class Record(msgspec.Struct, gc=False, array_like=True):
    """A client's request, for the access log: how it came, what became of it on its way, how it ended.

    Written by whoever knows; nobody puts it into words before the answer has gone out.
    """

    started: float = 0.0
    """When it had arrived whole, by the clock that times requests."""
    method: bytes = b""
    target: bytes = b""
    headers: Headers = []
    """Of no interest but for a ``traceparent``; empty where there can be none."""
    minor: int = 1
    id: bytes = b""
    """One that is well formed (layers/recover.py), and needs no quoting."""
    peer: bytes = b""
    route: list[bytes] = []
    received: int = 0
    """Bytes of the body."""
    graph: str = ""
    attempts: int = 0
    """Calls of backends, repeated ones included."""
    calling: int = 0
    """Calls of backends under way."""
    since: float = 0.0
    """When the first of them began."""
    upstream: float = 0.0
    """Seconds in which at least one call was under way."""
    queued: float = 0.0
    """Seconds spent waiting for endpoints."""
    failure: str = ""
    """The code of the last error."""
    trace_id: bytes = b""
    """32 hexadecimal digits, where the gateway traces the request itself."""
    flags: tuple[str, ...] = ()
    """What no error tells, in Envoy's letters: URX, DI, FI."""
    reset: bool = False
    """The last call to fail failed because its connection was reset, and not just closed."""
    seconds: float = 0.0
    status: int = 0
    sent: int = 0
    """Bytes of the answer's body."""


class Request(msgspec.Struct, gc=False):
    """One call on its way in: a client's, or the one that a step derives from it."""

    method: bytes
    target: bytes
    """Origin form: path and query as the client sent them (RFC 9112 section 3.2.1)."""
    headers: Headers
    body: bytes = b""
    deadline: float = inf
    """Loop time at which nobody wants the answer any more."""
    id: bytes = b""
    """The request id: at first as the client sent it, then checked or made, as echoed in ``x-request-id``."""
    route: list[bytes] = msgspec.field(default_factory=list)
    """The branches taken, ``b"canary=iris-v2"`` each; one list shared by all requests derived from the client's."""
    at: tuple[str, str] = ("", "")
    """Node and step that sent it on last; names the culprit when something fails further down."""
    document: Any = UNPARSED
    """The body as parsed JSON, once some node has asked for it."""
    peer: bytes = b""
    """The client's address, without the port; empty on a unix socket."""
    encoded: Encoded | None = None
    """The headers as lines, good for as long as ``headers`` are the very list that is in here."""
    stamp: bytes = b""
    """Header lines of the gateway's own, sent after those of ``headers``."""
    hurried: bool = False
    """The client allows less time than the configuration: no backend is to blame when that is too short."""
    affinity: bytes = b""
    """What makes requests belong to the same endpoint, where the backend balances by it."""
    trace: Span | None = None
    """The span that what is done next is a part of; None: it is not traced."""
    minor: int = 1
    """The minor version of HTTP that the client speaks."""
    record: Record | None = None
    """Shared by all requests derived from the client's; None where nobody keeps records."""
    streams: bool = False
    """The answer may come with a stream for its body: whoever gets it only passes it on."""
    claim: object = None
    """What counts a large body for as long as this lives; see gateway/http/buffers.py."""
    apart: tuple[tuple[bytes, bytes], ...] = ()
    """Headers of the client's that tell who it is: a call with others never shares a batch with this one."""

    def derive(self, deadline: float) -> Request:
        """The same message with a deadline of its own (loop time)."""
        return Request(
            self.method,
            self.target,
            self.headers,
            self.body,
            deadline,
            self.id,
            self.route,
            self.at,
            self.document,
            self.peer,
            self.encoded,
            self.stamp,
            self.hurried,
            self.affinity,
            self.trace,
            self.minor,
            self.record,
            self.streams,
        )

    def carrying(self, message: Response) -> Request:
        """This request with the body of ``message``, and the headers that describe that body."""
        headers = [field for field in self.headers if field[0] not in REPRESENTATION]
        headers += [field for field in message.headers if field[0] in REPRESENTATION]
        return Request(
            self.method,
            self.target,
            headers,
            message.body,
            self.deadline,
            self.id,
            self.route,
            self.at,
            message.document,
            self.peer,
            None,
            self.stamp,
            self.hurried,
            self.affinity,
            self.trace,
            self.minor,
            self.record,
        )


class Response(msgspec.Struct, gc=False):
    """One answer on its way out. ``headers`` hold no hop-by-hop fields and no framing: the server writes those."""

    status: int
    headers: Headers
    body: bytes = b""
    document: Any = UNPARSED
    """The body as parsed JSON, once some node has asked for it."""
    encoded: Encoded | None = None
    """The headers as lines, good for as long as ``headers`` are the very list that is in here."""
    stamp: bytes = b""
    """Header lines of the gateway's own, sent after those of ``headers``."""
    stream: Stream | None = None
    """The body, in place of ``body``, where it passes through. Whoever does not pass it on calls ``drop``."""
    claim: object = None
    """What counts a large body for as long as this lives; see gateway/http/buffers.py."""

    @property
    def ok(self) -> bool:
        """True for 200-299, which is what every node means by success."""
        return 200 <= self.status < 300

    def drop(self) -> None:
        """Nobody will read it: have the rest of it not sent."""
        if self.stream is not None:
            self.stream.cancel()


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first value of ``name`` (lower case), or None."""
    for key, value in headers:
        if key == name:
            return value
    return None
