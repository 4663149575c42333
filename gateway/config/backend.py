"""The structs of ``backends``: one model server, and how it is called."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .batch import Batch
from .mapping import Count, Duration, Mapping, Percent, Positive, Status


class HeaderRules(Mapping, frozen=True, kw_only=True):
    """Which client headers reach the backend, and what is added or taken away there."""

    propagate: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Regular expressions, case-insensitive, of the client's headers that reach the backend. "
            "The nearest list wins: the backend's, the graph's, the server's; without any: `traceparent`, "
            "`tracestate`, `baggage`, `x-request-id`, `accept`, and none with `compat: kserve`. What describes the "
            "body, such as `content-type`, always goes with it, except with `compat: kserve`."
        ),
    ] = None
    set: Annotated[dict[str, str], Meta(description="Headers that every call to the backend carries.")] = {}
    remove: Annotated[tuple[str, ...], Meta(description="Names of headers that never reach the backend.")] = ()


class BackendTimeouts(Mapping, frozen=True, kw_only=True):
    """How long the gateway waits for a model server."""

    connect: Annotated[Duration, Meta(description="TCP and TLS.")] = 5.0
    request: Annotated[
        Duration,
        Meta(
            description="From the first byte sent to the last byte of the answer; where that streams, to the end of "
            "its head. 0s: no limit but the graph's."
        ),
    ] = 30.0
    first_byte: Annotated[
        Duration, Meta(description="From the request sent to the end of the answer's head; 0s: only `request`.")
    ] = 0.0
    idle: Annotated[
        Duration,
        Meta(
            description="Between two pieces of an answer that streams, not counting the time in which the client does "
            "not read; 0s: no limit."
        ),
    ] = 300.0


class BackendTls(Mapping, frozen=True, kw_only=True):
    """How an `https` backend is verified, and the certificate shown to it."""

    ca_file: Annotated[str | None, Meta(description="Authorities to trust, PEM; default: the system's.")] = None
    cert_file: Annotated[str | None, Meta(description="The certificate to show, PEM.")] = None
    key_file: Annotated[str | None, Meta(description="Its private key, PEM.")] = None
    server_name: Annotated[str | None, Meta(description="The name to ask for and to verify; default: the host.")] = None
    insecure_skip_verify: Annotated[bool, Meta(description="Believe any certificate. For tests only.")] = False


class ConsistentHash(Mapping, frozen=True, kw_only=True):
    """The key: exactly one of `header`, `cookie` and `body`. A request without it goes to a random endpoint."""

    header: Annotated[str | None, Meta(description="The value of this header.")] = None
    cookie: Annotated[str | None, Meta(description="The value of this cookie.")] = None
    body: Annotated[str | None, Meta(description="What this JMESPath expression finds in the JSON body.")] = None


class LoadBalancer(Mapping, frozen=True, kw_only=True):
    """Which endpoint gets the next call."""

    type: Annotated[
        Literal["LeastRequest", "RoundRobin", "Random", "PeakEWMA", "ConsistentHash"],
        Meta(
            description="`LeastRequest`: of two drawn at random, the one with fewer calls under way; `PeakEWMA`: the "
            "one that has answered faster of late; `ConsistentHash`: always the same for the same key."
        ),
    ] = "LeastRequest"
    consistent_hash: Annotated[
        ConsistentHash | None, Meta(description="`ConsistentHash` only: where the key is found.")
    ] = None
    slow_start: Annotated[
        Duration, Meta(description="A new or recovered endpoint's share grows to the full over this time; 0s: at once.")
    ] = 0.0
    panic_threshold: Annotated[
        Percent,
        Meta(
            description="When a smaller share of the endpoints is healthy, all are used, the healthy ones' capacity "
            "being too small to carry everything; 0: never."
        ),
    ] = 50


class HealthCheck(Mapping, frozen=True, kw_only=True):
    """Asking each endpoint whether it is well. It counts as well until the first answer."""

    path: Annotated[
        str | None, Meta(description="Asked with GET; default with `protocol: v2`: `/v2/health/ready`, else `/`.")
    ] = None
    interval: Annotated[Duration, Meta(description="Between two checks of an endpoint, 10 % more or less.")] = 10.0
    timeout: Annotated[Duration, Meta(description="To answer one.")] = 1.0
    healthy_threshold: Annotated[
        Positive, Meta(description="Successes in a row that make an endpoint healthy again.")
    ] = 1
    unhealthy_threshold: Annotated[Positive, Meta(description="Failures in a row that make it unhealthy.")] = 3
    expected_statuses: Annotated[tuple[Status, ...], Meta(description="What a healthy endpoint answers.")] = (200,)


class OutlierDetection(Mapping, frozen=True, kw_only=True):
    """Leaving out, for a while, an endpoint whose calls fail. The last usable endpoint is never left out."""

    consecutive_5xx_errors: Annotated[
        Count,
        Meta(description="Answers of 500 and above, or none, in a row; 0: do not count."),
    ] = msgspec.field(default=5, name="consecutive5xxErrors")
    consecutive_gateway_errors: Annotated[Count, Meta(description="502, 503, 504, or none, in a row; 0: off.")] = 0
    consecutive_local_origin_failures: Annotated[
        Count, Meta(description="Calls without any answer in a row: not connected, reset, late; 0: off.")
    ] = 5
    base_ejection_time: Annotated[
        Duration, Meta(description="How long it is left out, times the number of ejections of late.")
    ] = 30.0
    max_ejection_time: Annotated[Duration, Meta(description="The longest that it is left out.")] = 300.0
    max_ejection_percent: Annotated[
        Percent, Meta(description="The most of the endpoints that may be left out at once; one always may.")
    ] = 50


class CircuitBreaker(Mapping, frozen=True, kw_only=True):
    """Caps for a backend, all workers together; beyond them 503 at once."""

    max_connections: Annotated[Positive, Meta(description="Open connections to each endpoint.")] = 1024
    max_requests: Annotated[Positive, Meta(description="Calls under way or queued, of all endpoints together.")] = 1024


class Concurrency(Mapping, frozen=True, kw_only=True):
    """How many calls an endpoint is given at once (Knative's `containerConcurrency`); the rest waits in a queue."""

    limit: Annotated[
        Count,
        Meta(
            description="Calls at once for each endpoint, all workers together, but at least one for each worker; "
            "0: any."
        ),
    ] = 0
    queue: Annotated[
        Count, Meta(description="Requests that may wait, all workers together; 0: ten for each place, at least 100.")
    ] = 0
    queue_timeout: Annotated[
        Duration, Meta(description="The longest that one waits; 0s: as long as its deadline allows.")
    ] = 0.0
    adaptive: Annotated[
        bool, Meta(description="Find the limit from the latency that is seen; `limit` is then the most it may be.")
    ] = False


RetryOn = Literal["connect-failure", "reset", "gateway-error", "5xx", "429", "503", "timeout"]


class Backoff(Mapping, frozen=True, kw_only=True):
    """The pause before a retry: random, up to `base`, doubled each time, up to `max`."""

    base: Annotated[Duration, Meta(description="Before the first retry.")] = 0.025
    max: Annotated[Duration, Meta(description="Before any.")] = 0.25


class RetryBudget(Mapping, frozen=True, kw_only=True):
    """How many retries a backend bears: a storm of them is worse than the failures."""

    percent: Annotated[Percent, Meta(description="Of the requests of the last ten seconds.")] = 20
    min_per_second: Annotated[Count, Meta(description="Always allowed, all workers together.")] = 10


class Retry(Mapping, frozen=True, kw_only=True):
    """Trying again, if possible elsewhere. Never once a byte of the answer has gone to the client."""

    attempts: Annotated[Positive, Meta(description="Calls for a request, the first included.")] = 2
    retry_on: Annotated[
        tuple[RetryOn, ...],
        Meta(
            description="`connect-failure`, `reset` (no answer), `timeout` (`perTryTimeout` passed), `gateway-error` "
            "(502, 503, 504, or no answer), `5xx` (any, or no answer), `429`, `503`."
        ),
    ] = ("connect-failure",)
    per_try_timeout: Annotated[Duration, Meta(description="For one call; 0s: only `timeouts.request`.")] = 0.0
    backoff: Annotated[Backoff, Meta(description="The pause before.")] = Backoff()
    budget: Annotated[RetryBudget, Meta(description="How many there may be.")] = RetryBudget()
    idempotent: Annotated[
        bool,
        Meta(
            description="Whether a call may be repeated that the backend may have begun to work on; else only "
            "`connect-failure` is retried, and GET."
        ),
    ] = True


class Hedge(Mapping, frozen=True, kw_only=True):
    """A second call when the first is slow; the first answer wins, the other call is cancelled."""

    after: Annotated[str, Meta(description="A duration, or a quantile of the backend's latency of late: `95p`.")] = (
        "95p"
    )
    budget_percent: Annotated[
        Percent, Meta(description="The most second calls, of all requests; one in ten seconds is always allowed.")
    ] = 5


class FaultDelay(Mapping, frozen=True, kw_only=True):
    """Lateness on purpose."""

    duration: Annotated[Duration, Meta(description="How late.")]
    percentage: Annotated[Percent, Meta(description="Of the calls.")] = 100


class FaultAbort(Mapping, frozen=True, kw_only=True):
    """Errors on purpose."""

    status: Annotated[Status, Meta(description="What is answered, in place of a call.")]
    percentage: Annotated[Percent, Meta(description="Of the calls.")] = 100


class Fault(Mapping, frozen=True, kw_only=True):
    """Failures on purpose. Refused unless the gateway is started with `--enable-faults`."""

    delay: Annotated[FaultDelay | None, Meta(description="Make calls late.")] = None
    abort: Annotated[FaultAbort | None, Meta(description="Answer calls with an error.")] = None


Protocol = Literal["v1", "v2", "raw"]


class Backend(Mapping, frozen=True, kw_only=True):
    """A model server, and the name of the model there. It has a `url` or `endpoints`."""

    url: Annotated[
        str | None,
        Meta(
            description="`http://host:port`, `https://host:port` or `unix:/path`; a path in it is a prefix. Every "
            "address that a host name has is an endpoint; it is looked up again every 30 s."
        ),
    ] = None
    endpoints: Annotated[
        tuple[str, ...], Meta(description="Several such URLs, for the same model on several servers.")
    ] = ()
    protocol: Annotated[
        Protocol,
        Meta(
            description="`v1`: called at `/v1/models/<model>:predict`; `v2`: at `/v2/models/<model>/infer`; "
            "`raw`: at `path`."
        ),
    ] = "v1"
    model: Annotated[str | None, Meta(description="The model's name at the backend; default: the backend's own.")] = (
        None
    )
    path: Annotated[
        str | None,
        Meta(
            description="`raw` only: POST exactly here; without it the client's method, path and query are kept.",
        ),
    ] = None
    timeouts: Annotated[BackendTimeouts, Meta(description="Patience with this backend.")] = BackendTimeouts()
    headers: Annotated[HeaderRules, Meta(description="For this backend.")] = HeaderRules()
    tls: Annotated[BackendTls | None, Meta(description="For `https`.")] = None
    load_balancer: Annotated[LoadBalancer, Meta(description="Which endpoint gets the next call.")] = LoadBalancer()
    health_check: Annotated[HealthCheck | None, Meta(description="Without it endpoints are not asked.")] = None
    outlier_detection: Annotated[
        OutlierDetection | None, Meta(description="Without it no endpoint is left out for its failures.")
    ] = None
    circuit_breaker: Annotated[CircuitBreaker | None, Meta(description="Without it there are no caps.")] = None
    concurrency: Annotated[
        Concurrency | None, Meta(description="Without it an endpoint is given any number of calls at once.")
    ] = None
    hold: Annotated[
        Duration,
        Meta(
            description="How long requests wait for a backend of which no endpoint is up, as one that is scaled to "
            "zero; 0s: they get a 503 at once."
        ),
    ] = 0.0
    retry: Annotated[Retry, Meta(description="Without it: one more call if a connection fails.")] = Retry()
    hedge: Annotated[Hedge | None, Meta(description="Without it no second calls are made.")] = None
    batch: Annotated[Batch | None, Meta(description="Without it every request is a call of its own.")] = None
    fault: Annotated[Fault | None, Meta(description="For game days; needs `gateway run --enable-faults`.")] = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it is; the first one speaks for all where only scheme and path matter."""
        return self.endpoints if self.url is None else (self.url,)

    @property
    def queues(self) -> bool:
        """Whether a call may have to wait before it is sent."""
        return self.concurrency is not None or self.hold > 0
