"""Recover: outermost, so that nothing escapes unanswered.

Every answer says which request it belongs to, and which way that one went.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable

from gateway.errors import Abandoned, GatewayError, InternalError
from gateway.message import Request, Response
from gateway.problem import problem
from gateway.service import Service

log = logging.getLogger("gateway")

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch
_POOL_SIZE = 4096
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class RequestIds:
    """Random UUIDs (version 4, RFC 9562), cut from random bytes that are fetched many at a time."""

    __slots__ = ("_at", "_digits")

    def __init__(self) -> None:
        self._digits = ""
        self._at = 0

    def __call__(self) -> bytes:
        at = self._at
        if at + 32 > len(self._digits):
            self._digits = os.urandom(_POOL_SIZE).hex()
            at = 0
        self._at = at + 32
        d = self._digits[at : at + 32]
        return f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{_VARIANT[d[16]]}{d[17:20]}-{d[20:]}".encode()


class Recover:
    """Gives the request its id; turns every failure into an answer; adds ``x-request-id`` and ``x-gateway-route``."""

    def __init__(self, inner: Service) -> None:
        self.inner = inner
        self.in_flight = 0
        self._new_id = RequestIds()
        self._on_idle: Callable[[], None] | None = None

    async def __call__(self, request: Request) -> Response:
        if not request.id:
            request.id = identity = self._new_id()
            request.headers.append((b"x-request-id", identity))
        elif not _WELL_FORMED(request.id):
            self._rename(request)
        self.in_flight += 1
        try:
            response = await self.inner(request)
        except Abandoned:
            raise
        except GatewayError as error:
            response = problem(error.at(request.at), request.id)
        except Exception:
            log.exception("a bug: request %s failed", request.id.decode())
            response = problem(InternalError("the gateway failed; its log says why"), request.id)
        finally:
            self.in_flight -= 1
            if not self.in_flight and self._on_idle is not None:
                self._on_idle()
        headers = response.headers
        headers.append((b"x-request-id", request.id))
        if route := request.route:
            headers.append((b"x-gateway-route", route[0] if len(route) == 1 else b", ".join(route)))
        return response

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call ``call`` as soon as nothing is in flight; possibly at once."""
        self._on_idle = call
        if not self.in_flight:
            call()

    def _rename(self, request: Request) -> None:
        request.id = self._new_id()
        headers = [field for field in request.headers if field[0] != b"x-request-id"]
        request.headers = [*headers, (b"x-request-id", request.id)]
