"""Affinity: finds what a backend balances by, in the client's own request, before its headers are thinned out."""

from __future__ import annotations

from collections.abc import Awaitable

import orjson

from gateway.config.backend import ConsistentHash
from gateway.errors import GatewayError
from gateway.graph.condition import compile_jmespath
from gateway.graph.document import NOT_JSON, document
from gateway.message import Request, Response
from gateway.service import Layer, Service
from gateway.upstream.pick import Key, cookie_key, header_key


class Affinity:
    """Notes the key on the request."""

    def __init__(self, inner: Service, key: Key) -> None:
        self.inner = inner
        self._key = key

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        request.affinity = self._key(request) or b""
        return self.inner(request)


def affinity(by: ConsistentHash) -> Layer:
    """By a header, a cookie, or what JMESPath finds in the JSON body; an empty key is none."""
    key = _key(by)
    return lambda inner: Affinity(inner, key)


def _key(by: ConsistentHash) -> Key:
    if by.header is not None:
        return header_key(by.header)
    return cookie_key(by.cookie) if by.cookie is not None else _body_key(by.body or "")


def _body_key(expression: str) -> Key:
    find = compile_jmespath(expression)

    def key(request: Request) -> bytes | None:
        try:
            body = document(request)
        except GatewayError:
            return None  # a coding that cannot be undone is for the backend to refuse
        found = None if body is NOT_JSON else find(body)
        try:
            return None if found is None else orjson.dumps(found)
        except orjson.JSONEncodeError:
            return None  # an expression itself, as `&a` finds, is no value

    return key
