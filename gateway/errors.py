"""Every failure the gateway answers with; each knows its status and its code. One flat tree.

Foreign exceptions are mapped to these where they enter, and only there. An error that a model server answered with is a
Response, not an exception.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """A failure with an HTTP status, a stable ``code`` and, once known, the node and step where it happened."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False
    """True when the backend cannot have acted on the request, so that sending it again is safe."""

    def __init__(self, detail: str = "", *, node: str = "", step: str = "", retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.node = node
        self.step = step
        self.graph = ""
        self.url = ""
        """What was called, where that is not what the configuration names."""
        self.retry_after = retry_after

    def at(self, place: tuple[str, str]) -> GatewayError:
        """Name the node and step where it happened, unless somebody nearer to it already has."""
        if not self.node:
            self.node, self.step = place
        return self


class InternalError(GatewayError):
    """A bug of ours; the log has the traceback."""


class BadRequest(GatewayError):
    """The bytes are not an HTTP request that we accept (RFC 9112), or the body is not what a node needs."""

    status = 400
    code = "bad_request"
    title = "Bad request"


class GraphNotFound(GatewayError):
    """No API claims the path and there is no default graph; or no graph has that name."""

    status = 404
    code = "not_found"
    title = "Not found"


class NoRouteMatched(GatewayError):
    """A Switch, none of whose conditions holds."""

    status = 404
    code = "no_route_matched"
    title = "No route matched"


class MethodNotAllowed(GatewayError):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"

    def __init__(self, detail: str = "", *, allow: bytes = b"") -> None:
        super().__init__(detail)
        self.allow = allow


class RequestTimeout(GatewayError):
    """The client took too long to send its head or body."""

    status = 408
    code = "request_timeout"
    title = "Request timeout"


class PayloadTooLarge(GatewayError):
    """The body exceeds ``server.limits.maxBodyBytes``."""

    status = 413
    code = "payload_too_large"
    title = "Payload too large"


class UriTooLong(GatewayError):
    """The request target exceeds 8 KiB."""

    status = 414
    code = "uri_too_long"
    title = "URI too long"


class UnsupportedMediaType(GatewayError):
    """A node must read a body whose Content-Encoding it cannot undo."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


class ExpectationFailed(GatewayError):
    """An ``Expect`` other than 100-continue (RFC 9110 section 10.1.1)."""

    status = 417
    code = "expectation_failed"
    title = "Expectation failed"


class HeadersTooLarge(GatewayError):
    """More header bytes, or more fields, than ``server.limits`` allow."""

    status = 431
    code = "headers_too_large"
    title = "Request header fields too large"


class ClientClosed(GatewayError):
    """The client went away; seen in logs and metrics only."""

    status = 499
    code = "client_closed_request"
    title = "Client closed request"


class ConnectionCut(GatewayError):
    """A drain ran out of time and cut a client off that still waited; seen in logs and metrics only."""

    status = 503
    code = "connection_cut"
    title = "Connection cut"


class NotImplementedByGateway(GatewayError):
    """A method or a transfer coding that the gateway does not know (RFC 9112 section 6.1)."""

    status = 501
    code = "not_implemented"
    title = "Not implemented"


class UpstreamProtocolError(GatewayError):
    """The backend's answer is not one: malformed, truncated, contradictory or too large."""

    status = 502
    code = "upstream_protocol_error"
    title = "Bad answer from upstream"


class UpstreamReset(GatewayError):
    """The backend closed the connection before its answer was complete."""

    status = 502
    code = "upstream_reset"
    title = "Upstream connection lost"
    abrupt: bool = False
    """It was reset, and not closed in good order."""


class UpstreamUnusable(GatewayError):
    """The backend answered, but not with what the graph needs (JSON, an encoding that can be undone)."""

    status = 502
    code = "upstream_bad_answer"
    title = "Unusable answer from upstream"


class UpstreamConnectFailure(GatewayError):
    """No connection to the backend: refused, unreachable, TLS failed, name unknown."""

    status = 503
    code = "upstream_connect_failure"
    title = "Cannot connect to upstream"
    retryable = True


class NoHealthyUpstream(GatewayError):
    """No endpoint of the backend can be asked."""

    status = 503
    code = "no_healthy_upstream"
    title = "No healthy upstream"
    retryable = True


class Overloaded(GatewayError):
    """The gateway is at its limit of requests in flight, of connections, or of bytes of their bodies."""

    status = 503
    code = "overload"
    title = "Overloaded"
    retryable = True


class BuffersFull(GatewayError):
    """The backend's answer does not fit into what is left of ``server.limits.maxBufferedBytes``."""

    status = 503
    code = "buffers_full"
    title = "No room for the answer"


class UpstreamOverflow(GatewayError):
    """The backend has as many calls under way, or requests in its queue, as it may have."""

    status = 503
    code = "upstream_overflow"
    title = "Too many requests for upstream"
    retryable = True


class QueueTimeout(GatewayError):
    """No endpoint of the backend had room for the request for as long as it may queue."""

    status = 503
    code = "queue_timeout"
    title = "Queued for too long"
    retryable = True


class QueueTooLong(GatewayError):
    """What waits to be batched before the request would take all the time that it has left."""

    status = 503
    code = "queue_too_long"
    title = "The queue is too long"
    retryable = True


class UpstreamTimeout(GatewayError):
    """The backend did not answer within its own time limit."""

    status = 504
    code = "upstream_timeout"
    title = "Upstream timeout"


class DeadlineExceeded(GatewayError):
    """The deadline of the whole graph, or of the step, has passed."""

    status = 504
    code = "deadline_exceeded"
    title = "Deadline exceeded"


class FaultInjected(GatewayError):
    """A failure on purpose: the ``fault`` of a backend, which says its status."""

    status = 503
    code = "fault_injected"
    title = "Fault injected"


class Abandoned(GatewayError):
    """Answer nothing and close the connection: what KServe's router does when its write timeout passes."""

    status = 504
    code = "abandoned"
    title = "Abandoned"
