"""What goes into a RequestReader, and what comes out of it."""

from __future__ import annotations

import msgspec

from gateway.errors import GatewayError
from gateway.message import Request

from .buffers import Buffers
from .heads import Heads, RequestHead


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A complete request, and what its answer must know about the connection."""

    request: Request
    persistent: bool
    minor: int
    """Minor HTTP version: 0 or 1."""


class ReaderLimits(msgspec.Struct, frozen=True):
    """Bytes, bytes and a count, as in ``server.limits``; the heads that were found to keep to them; room for bodies."""

    body: int
    head: int
    fields: int
    heads: Heads[RequestHead] = msgspec.field(default_factory=Heads)
    buffers: Buffers = msgspec.field(default_factory=Buffers)


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """A client that was answered before its request had arrived, with an error; ``-`` for what is not known of it."""

    error: GatewayError
    peer: bytes
    method: bytes
    target: bytes
    minor: int
    sent: int
    """Bytes of the answer's body."""
