"""Recover: outermost, so that nothing escapes unanswered.

Every answer says which request it belongs to, and which way that one went.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from functools import partial

from gateway.errors import Abandoned, ClientClosed, GatewayError, InternalError
from gateway.message import Request, Response
from gateway.problem import problem
from gateway.service import Service
from gateway.stream import Stream

from .access import Access

log = logging.getLogger("gateway")

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
_AT_ONCE = 256
_PLACES = [place for place in range(36) if place not in (8, 13, 18, 23)]
_VARIANT = bytes.maketrans(b"0123456789abcdef", b"89ab" * 4)


class RequestIds:
    """Random UUIDs (version 4, RFC 9562), written many at a time."""

    __slots__ = ("_at", "_text")

    def __init__(self) -> None:
        self._text = b""
        self._at = 0

    def __call__(self) -> bytes:
        at = self._at
        if at == len(self._text):
            self._text = _uuids(_AT_ONCE)
            at = 0
        self._at = at + 36
        return self._text[at : at + 36]


def _uuids(count: int) -> bytes:
    """``count`` UUIDs without anything between them, made digit by digit for all of them at once."""
    digits = os.urandom(16 * count).hex().encode()
    text = bytearray(b"-" * (36 * count))
    for digit, place in enumerate(_PLACES):
        text[place::36] = digits[digit::32]
    text[14::36] = b"4" * count
    text[19::36] = text[19::36].translate(_VARIANT)
    return bytes(text)


class Recover:
    """Gives the request its id; turns every failure into an answer; adds ``x-request-id`` and ``x-gateway-route``.

    ``access``: keeps a record of each request, if anybody wants one.
    """

    def __init__(self, inner: Service, access: Access | None = None) -> None:
        self.inner = inner
        self._access = access
        self.in_flight = 0
        self._new_id = RequestIds()
        self._on_idle: Callable[[], None] | None = None

    async def __call__(self, request: Request) -> Response:
        if not request.id:
            request.id = self._new_id()
            stamp = request.stamp = b"x-request-id: " + request.id + b"\r\n"
        else:
            stamp = self._checked(request)
        access = self._access
        if access is not None:
            access.begin(request)
        self.in_flight += 1
        try:
            response = await self.inner(request)
            if response.stream is not None:
                self._hold(response.stream, request.id)
        except BaseException as error:
            answer = self._failed(request, error)
            if answer is None:
                raise
            response = answer
        finally:
            self.in_flight -= 1
            if not self.in_flight and self._on_idle is not None:
                self._on_idle()
        if route := request.route:
            stamp += b"x-gateway-route: " + (route[0] if len(route) == 1 else b", ".join(route)) + b"\r\n"
        response.stamp = stamp
        if access is not None:
            access.answered(request, response)
        return response

    def _failed(self, request: Request, error: BaseException) -> Response | None:
        """The answer in place of the one that failed; None where nobody is there to be answered."""
        record = request.record
        if isinstance(error, Abandoned) or not isinstance(error, Exception):
            if self._access is not None:
                self._access.lost(request, error)
            return None
        if not isinstance(error, GatewayError):
            log.error("a bug: request %s failed", request.id.decode(), exc_info=error)
            error = InternalError("the gateway failed; its log says why")
        if record is not None:
            record.failure = error.code
        return problem(error.at(request.at), request.id)

    def _hold(self, stream: Stream, id: bytes) -> None:
        """A request is in flight until its answer has ended, which may now be long after this call."""
        self.in_flight += 1
        stream.when_ended(partial(self._ended, id))

    def _ended(self, id: bytes, error: GatewayError | None) -> None:
        if error is not None:
            level = logging.INFO if isinstance(error, ClientClosed) else logging.WARNING
            log.log(level, "the answer to request %s broke off: %s: %s", id.decode(), error.code, error.detail)
        self.in_flight -= 1
        if not self.in_flight and self._on_idle is not None:
            self._on_idle()

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call ``call`` as soon as nothing is in flight; possibly at once."""
        self._on_idle = call
        if not self.in_flight:
            call()

    def _checked(self, request: Request) -> bytes:
        """The line of the id that the client sent; one that is malformed gives way to a new one."""
        known = _WELL_FORMED(request.id)
        if not known:
            request.id = self._new_id()
            request.headers = [field for field in request.headers if field[0] != b"x-request-id"]
        line = b"x-request-id: " + request.id + b"\r\n"
        if not known:
            request.stamp = line
        return line
