"""What all formats have in common: which requests are looked at, and how messages carry their new bodies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Final

import msgspec

from gateway.errors import GatewayError, PayloadTooLarge
from gateway.graph.document import decoded
from gateway.http.wire import encode_fields
from gateway.message import UNPARSED, Encoded, Headers, Request, Response

from .format import Member, Mismatch, Unmergeable

JSON_LENGTH: Final = b"inference-header-content-length"
"""Where the JSON ends and binary tensors begin (binary tensor data extension)."""

_LARGE: Final = 4 << 20
"""A body of more bytes, decompressed, gains little from company, and reading it would keep the others waiting."""

_TELLING: Final = frozenset((b"content-type", b"content-encoding", b"accept"))
"""What was sent and what is wanted: part of the key, whatever the format."""

_NOT_MERGED: Final = frozenset((b"content-encoding", JSON_LENGTH))
_NOT_SHARED: Final = _NOT_MERGED | {b"content-length", b"date", b"etag", b"digest", b"content-digest", b"repr-digest"}
_OF_ONE_CALLER: Final = frozenset((b"set-cookie", b"ce-id", b"ce-requestid"))
"""MLServer says the id of a call as that of a CloudEvent, which no two events share."""

_WITHHELD: Final = _NOT_SHARED | _OF_ONE_CALLER

_UNREADABLE: Final = (ValueError, KeyError, RecursionError)

_HEADS: Final = 64
"""Heads that are remembered; when there are more, all are forgotten and learnt again."""


class Said(msgspec.Struct, frozen=True, gc=False):
    """What the headers of a request tell of it."""

    fields: tuple[tuple[bytes, bytes], ...]
    """Part of the key."""
    streams: bool
    """The answer is wanted as a stream of events."""
    coded: bool


Body = tuple[bytes, int | None]
"""A body, and where its JSON ends if binary tensors follow."""


class Spliced(ABC):
    """A Format whose bodies are cut and joined as text. A lone request and its answer stay as they are."""

    def __init__(self) -> None:
        self._known: dict[Encoded, Said] = {}

    def member(self, request: Request, /) -> Member:
        """What of ``request`` matters for merging. Raises Unmergeable."""
        known = request.encoded
        if known is not None and known.headers is request.headers:
            said = self._known.get(known) or self._learn(known)
        else:
            said = _said(request.headers)
        body = _readable(request, said)
        try:
            member = self._read(request, body)
        except _UNREADABLE:
            raise Unmergeable("malformed") from None
        member.key = (request.target, said.fields, member.key)
        return member

    def _learn(self, known: Encoded) -> Said:
        """What headers say that come again and again."""
        if len(self._known) >= _HEADS:
            self._known.clear()
        said = self._known[known] = _said(known.headers)
        return said

    def merge(self, members: Sequence[Member], /) -> Request:
        """One call for all ``members``."""
        first = members[0].request
        call = first.derive(first.deadline)
        if len(members) > 1:
            _carry(call, self._merged(members))
        return call

    def split(self, answer: Response, members: Sequence[Member], /) -> list[Response]:
        """For each of ``members`` its own rows. Raises Mismatch."""
        if len(members) == 1:
            return [answer]
        try:
            bodies = self._cut(answer, decoded(answer), members)
        except (*_UNREADABLE, GatewayError) as error:
            raise Mismatch(f"the answer cannot be read: {error}") from None
        return _shares(answer, bodies)

    @abstractmethod
    def _read(self, request: Request, body: bytes) -> Member:
        """The request, with the key of its body; ValueError and KeyError where it is not what the protocol says."""

    @abstractmethod
    def _merged(self, members: Sequence[Member]) -> Body:
        """The body of the one call."""

    @abstractmethod
    def _cut(self, answer: Response, body: bytes, members: Sequence[Member]) -> list[Body]:
        """The body for each member; ValueError and KeyError where the answer is not what the protocol says."""


def spans(members: Iterable[Member]) -> list[tuple[int, int]]:
    """Where the rows of each member begin and end."""
    return list(pairwise(accumulate((member.rows for member in members), initial=0)))


def _said(headers: Headers) -> Said:
    fields = tuple([field for field in headers if field[0] in _TELLING])
    streams = any(name == b"accept" and b"event-stream" in value.lower() for name, value in fields)
    return Said(fields, streams, any(name == b"content-encoding" for name, _ in fields))


def _readable(request: Request, said: Said) -> bytes:
    """The body without its content coding."""
    if request.method != b"POST":
        raise Unmergeable("method")
    if said.streams:
        raise Unmergeable("streaming")
    body = _decoded(request) if said.coded else request.body
    if len(body) > _LARGE:
        raise Unmergeable("large")
    return body


def _decoded(request: Request) -> bytes:
    try:
        return decoded(request, _LARGE)
    except PayloadTooLarge:
        raise Unmergeable("large") from None
    except GatewayError:
        raise Unmergeable("encoding") from None


def _carry(call: Request, body: Body) -> None:
    call.body, length = body
    call.document = UNPARSED
    call.streams = False
    if any(name in _NOT_MERGED for name, _ in call.headers):
        call.headers = _described(call.headers, _NOT_MERGED, length)


def _shares(answer: Response, bodies: Iterable[Body]) -> list[Response]:
    common = _described(answer.headers, _WITHHELD, None)
    heads: dict[int | None, Encoded] = {}
    shares = []
    for body, length in bodies:
        head = heads.get(length) or heads.setdefault(length, _head(common, length))
        shares.append(Response(answer.status, head.headers, body, encoded=head, stamp=answer.stamp, claim=answer.claim))
    return shares


def _head(common: Headers, length: int | None) -> Encoded:
    headers = _described(common, frozenset(), length)
    return Encoded(headers, encode_fields(headers))


def _described(headers: Headers, without: frozenset[bytes], length: int | None) -> Headers:
    fields = [field for field in headers if field[0] not in without]
    return fields if length is None else [*fields, (JSON_LENGTH, b"%d" % length)]
