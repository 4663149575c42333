"""Redirects, followed as Go's HTTP client follows them (net/http ``Client.Do``): ten at most, to any origin."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from itertools import count
from urllib.parse import quote, urljoin, urlsplit

from gateway.errors import GatewayError
from gateway.http.origin import AS_IT_IS, Origin, split
from gateway.message import REPRESENTATION, Headers, Request, Response, header
from gateway.service import Service

from .errors import RouterError
from .gojson import quoted
from .gourl import refusal

_MOST = 10
_WITHOUT_BODY = (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.SEE_OTHER)
_AS_IT_WAS = (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT)
_SENSITIVE = frozenset((b"authorization", b"www-authenticate", b"cookie", b"cookie2"))
_OF_A_BODY = REPRESENTATION | {b"content-language", b"content-location"}


class Redirects:
    """Calls ``own``, the service of ``origin``, and goes wherever it is sent from there.

    ``elsewhere`` finds the service of another origin; ``private`` are the headers meant for the first alone, which go
    no further than its subdomains, as credentials do. An error on the way knows the URL where it happened.
    """

    def __init__(
        self, origin: Origin, own: Service, elsewhere: Callable[[Origin], Service], private: frozenset[bytes]
    ) -> None:
        self._origin = origin
        self._own = own
        self._elsewhere = elsewhere
        self._private = _SENSITIVE | private

    async def __call__(self, request: Request, /) -> Response:
        answer = await self._own(request)
        if answer.status in _WITHOUT_BODY or answer.status in _AS_IT_WAS:
            return await self._follow(request, answer)
        return answer

    async def _follow(self, request: Request, answer: Response) -> Response:
        origin = self._origin
        for sent in count(1):
            found = header(answer.headers, b"location") if answer.status in (*_WITHOUT_BODY, *_AS_IT_WAS) else None
            if not found:
                return answer
            location = found.decode("latin-1")
            if sent == _MOST:
                raise RouterError(f"Post {quoted(location)}: stopped after {_MOST} redirects").at(request.at)
            referer = str(origin) + request.target.decode("latin-1")
            url = _resolved(referer, location)
            origin, target = split(url)
            request = self._next(request, answer.status, origin, target, referer)
            try:
                answer = await (self._own if origin == self._origin else self._elsewhere(origin))(request)
            except GatewayError as error:
                error.url = url
                raise
        raise AssertionError  # count() does not end

    def _next(self, request: Request, status: int, origin: Origin, target: str, referer: str) -> Request:
        headers: Headers = [field for field in request.headers if field[0] != b"referer"]
        method, body = request.method, request.body
        if status in _WITHOUT_BODY:
            method, body = (method if method == b"HEAD" else b"GET"), b""
            headers = [field for field in headers if field[0] not in _OF_A_BODY]
        if not _within(origin.host, self._origin.host):
            headers = [field for field in headers if field[0] not in self._private]
        if origin.tls or not referer.startswith("https:"):
            headers.append((b"referer", referer.encode("latin-1")))
        path = quote((target if target.startswith("/") else f"/{target}").encode("latin-1"), safe=AS_IT_IS)
        to = Request(method, path.encode(), headers, body, request.deadline, peer=request.peer, stamp=request.stamp)
        to.record, to.trace = request.record, request.trace
        return to


def _resolved(base: str, location: str) -> str:
    """Where ``location`` leads from ``base`` (RFC 3986 section 5). Raises RouterError where Go refuses to go."""
    if (refused := refusal(location)) is not None and refused[0] == "parse":
        wrong = f"failed to parse Location header {quoted(location)}: parse {quoted(location)}: {refused[1]}"
        raise RouterError(f"Post {quoted(base)}: {wrong}")
    try:
        url = location if urlsplit(location).scheme else urljoin(base, location)
        refused = refusal(url)
        split(url)
    except ValueError as error:  # brackets that are not an IPv6 address; a port beyond 65535
        raise RouterError(f"Post {quoted(location)}: {error}") from None
    if refused is not None:
        raise RouterError(f"{refused[0]} {quoted(url)}: {refused[1]}")
    return url


def _within(host: str, parent: str) -> bool:
    """Whether ``host`` is ``parent`` or below it; an IPv6 address is below none."""
    return host == parent or (":" not in host and "%" not in host and host.endswith(f".{parent}"))
