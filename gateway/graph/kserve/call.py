"""One call of a step's URL, with failures worded as Go's HTTP client words them."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    UpstreamConnectFailure,
    UpstreamProtocolError,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamUnusable,
)
from gateway.graph.document import decoded
from gateway.message import Request, Response
from gateway.service import Service

from .errors import RouterError, overdue
from .gojson import quoted

_DIAL = (  # what the operating system says, and what Go says then
    ("refused", "connect: connection refused"),
    ("connect call failed", "connect: connection refused"),
    ("unreachable", "connect: network is unreachable"),
    ("no route to host", "connect: no route to host"),
    ("within", "i/o timeout"),
)
_NO_NAME = ("name or service not known", "name resolution", "no address associated", "nodename nor servname")


class CallService:
    """The service behind ``url``. Its answers carry no headers, since KServe's router forwards none.

    Raises RouterError, or DeadlineExceeded when the request's own deadline has passed.
    """

    __slots__ = ("_service", "_url")

    def __init__(self, url: str, service: Service) -> None:
        self._url = url
        self._service = service

    def __repr__(self) -> str:
        return f"CallService({self._service!r})"

    async def __call__(self, request: Request, /) -> Response:
        try:
            answer = await self._service(request)
            return Response(answer.status, [], _plain(answer))
        except RouterError:
            raise
        except GatewayError as error:
            if isinstance(error, (DeadlineExceeded, UpstreamTimeout)) and overdue(request):
                raise DeadlineExceeded(error.detail).at(request.at) from None
            url = error.url or self._url
            raise RouterError(f"Post {quoted(url)}: {_cause(error, url)}").at(request.at) from None


def _cause(error: GatewayError, url: str) -> str:
    detail = error.detail or error.title
    match error:
        case UpstreamConnectFailure():
            return _dial(detail, url)
        case UpstreamTimeout() | DeadlineExceeded():
            return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        case UpstreamReset():
            return "EOF"
        case UpstreamProtocolError():
            return f"net/http: HTTP/1.x transport connection broken: {detail}"
    return detail


def _dial(detail: str, url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    said = detail.lower()
    if any(sign in said for sign in _NO_NAME):
        return f"dial tcp: lookup {host}: no such host"
    reason = next((words for sign, words in _DIAL if sign in said), detail)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"dial tcp {f'[{host}]' if ':' in host else host}:{port}: {reason}"


def _plain(answer: Response) -> bytes:
    """The body; Go's client undoes gzip, and leaves what it does not know."""
    try:
        return decoded(answer)
    except UpstreamUnusable:
        return answer.body


class NoNode:
    """A step that leads to a node which is not there: an error, but not before it is taken."""

    __slots__ = ()

    async def __call__(self, request: Request, /) -> Response:
        raise RouterError("invalid route type: ").at(request.at)


class BadUrl:
    """A step whose URL Go refuses for ``cause``, be it to ``parse`` or to ``Post``: an error, but only when called."""

    __slots__ = ("_error",)

    def __init__(self, url: str, cause: str, action: str = "parse") -> None:
        self._error = f"{action} {quoted(url)}: {cause}"

    async def __call__(self, request: Request, /) -> Response:
        raise RouterError(self._error).at(request.at)
