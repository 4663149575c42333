"""Forward: a client's request made into the backend's: method, target, and the headers that the rules let through.

The rule: nothing reaches a backend unless somebody listed it; what describes the body always travels with the body.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from math import inf

from gateway.config import schema
from gateway.errors import DeadlineExceeded
from gateway.http.wire import NOT_FORWARDED, encode_fields
from gateway.message import REPRESENTATION, Encoded, Headers, Request, Response
from gateway.service import Layer, Service

from .pace import Pace, no_pace

Address = tuple[bytes, bytes]
"""Method and target of a call."""

_REMEMBERED = 1024

_KNOWN = 64
"""Heads whose headers a backend remembers; when there are more, all are forgotten and learnt again."""


DEFAULT_PROPAGATE = tuple(f"^{name}$" for name in ("traceparent", "tracestate", "baggage", "x-request-id", "accept"))
"""Where no rule says otherwise; content-type and its like travel with the body anyway."""


class Allowed(dict[bytes, bool]):
    """Header names and whether they are passed on; asks ``rule`` once for each name, for as many as it has room for."""

    def __init__(self, rule: Callable[[bytes], bool]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, name: bytes) -> bool:
        verdict = name not in NOT_FORWARDED and self._rule(name)
        if len(self) < _REMEMBERED:
            self[name] = verdict
        return verdict


def rules(compat: str, *levels: schema.HeaderRules, also: frozenset[bytes] = frozenset()) -> tuple[Allowed, Headers]:
    """Which client headers pass, and which are added; ``levels`` from server over graph to backend, the nearest.

    A level may take away what one before it adds. ``also``: names that pass though no pattern lists them.
    """
    default = () if compat == "kserve" else DEFAULT_PROPAGATE
    patterns = next((level.propagate for level in reversed(levels) if level.propagate is not None), default)
    added: dict[bytes, bytes] = {}
    replaced: set[bytes] = set()
    for level in levels:
        for name in _lower(level.remove):
            added.pop(name, None)
            replaced.add(name)
        added |= zip(_lower(level.set), (value.encode() for value in level.set.values()), strict=True)
    replaced |= added.keys()
    rule = kserve_rule(patterns) if compat == "kserve" else native_rule(patterns)
    return Allowed(lambda name: name not in replaced and (name in also or rule(name))), list(added.items())


def _lower(names: Iterable[str]) -> list[bytes]:
    return [name.lower().encode() for name in names]


def native_rule(patterns: Iterable[str]) -> Callable[[bytes], bool]:
    """Case-insensitive regular expressions, searched for in the name; what describes the body always passes."""
    search = [re.compile(pattern.encode(), re.IGNORECASE).search for pattern in patterns]
    return lambda name: name in REPRESENTATION or any(found(name) for found in search)


def kserve_rule(patterns: Iterable[str]) -> Callable[[bytes], bool]:
    """KServe's: case-sensitive expressions, searched for in the canonical name, ``X-Request-Id``."""
    search = [re.compile(pattern).search for pattern in patterns]

    def rule(name: bytes) -> bool:
        canonical = "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))
        return any(found(canonical) for found in search)

    return rule


class Forward:
    """Calls ``inner`` with a request of its own, and tells it how many milliseconds are left.

    Raises DeadlineExceeded, at the call itself, when that is too little.
    """

    def __init__(
        self,
        inner: Service,
        allowed: Allowed,
        added: Headers,
        address: Address | bytes,
        timeout: float,
        tell_time: bool,
        streams: bool,
        traced: bool,
        pace: Pace,
    ) -> None:
        self.inner = inner
        self._allowed = allowed
        self._added = added
        self._passed: dict[Encoded, Encoded] = {}
        self._stamped = allowed[b"x-request-id"] or (traced and allowed[b"traceparent"])
        self._prefix = address if isinstance(address, bytes) else b""
        self._address = None if isinstance(address, bytes) else address
        self._timeout = timeout
        self._tell_time = tell_time
        self._streams = streams
        self._pace = pace
        self._clock = asyncio.get_running_loop().time

    def __call__(self, request: Request) -> Awaitable[Response]:
        now = self._clock()
        left = request.deadline - now
        if left > self._timeout:
            left = self._timeout
        elif left <= 0:
            raise DeadlineExceeded("no time was left for this call")
        known = request.encoded
        if known is not None and known.headers is request.headers:
            encoded = self._passed.get(known) or self._learn(known)
            headers = encoded.headers
        else:
            encoded, headers = None, self._through(request.headers)
        stamp = request.stamp if self._stamped else b""
        if self._tell_time and left < inf:
            stamp += b"x-request-timeout-ms: %d\r\n" % (left * 1000)
        method, target = self._address or (request.method, self._prefix + request.target)
        call = Request(
            method,
            target,
            headers,
            request.body,
            now + left,
            peer=request.peer,
            encoded=encoded,
            stamp=stamp,
            hurried=request.hurried,
            affinity=request.affinity,
            apart=request.apart,
            trace=request.trace,
            record=request.record,
            streams=self._streams,
        )
        pace = self._pace
        if left < pace.median or now >= pace.look_at:
            return pace.call(self.inner, call)
        return self.inner(call)

    def _through(self, headers: Headers) -> Headers:
        allowed = self._allowed
        return [field for field in headers if allowed[field[0]]] + self._added

    def _learn(self, known: Encoded) -> Encoded:
        """What passes of headers that come again and again."""
        if len(self._passed) >= _KNOWN:
            self._passed.clear()
        headers = self._through(known.headers)
        encoded = self._passed[known] = Encoded(headers, encode_fields(headers))
        return encoded


class ContentTypeJson:
    """KServe's: a call has ``Content-Type: application/json`` unless one was propagated."""

    def __init__(self, inner: Service) -> None:
        self.inner = inner

    def __call__(self, request: Request) -> Awaitable[Response]:
        if not any(name == b"content-type" for name, _ in request.headers):
            request.headers = [*request.headers, (b"content-type", b"application/json")]
        return self.inner(request)


def forward(
    allowed: Allowed,
    added: Headers,
    address: Address | bytes,
    timeout: float,
    *,
    tell_time: bool = True,
    streams: bool = False,
    traced: bool = False,
    pace: Pace | None = None,
) -> Layer:
    """``added``: header fields put on every call. ``timeout``: seconds a call; may be infinite.

    ``streams``: nobody here needs the whole of an answer, so it may pass through as it comes.

    ``address``: where it goes; or bytes to put before the client's own target, whose method is kept then. ``traced``:
    the gateway's own header lines are about traces, too. ``pace``: knows which calls can hardly end in time.
    """
    pace = pace or no_pace()
    return lambda inner: Forward(inner, allowed, added, address, timeout, tell_time, streams, traced, pace)
