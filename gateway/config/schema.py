"""Frozen structs, one per YAML mapping: the single source of decoding, checking, the JSON Schema and the reference."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from .backend import Backend, BackendTimeouts, BackendTls, HeaderRules, Protocol
from .mapping import Count, Duration, Mapping, Size, Status
from .payload import PayloadLog, PayloadSinks, Sink
from .telemetry import AccessLog, Telemetry

__all__ = [
    "AccessLog",
    "Admin",
    "Backend",
    "BackendTimeouts",
    "BackendTls",
    "Config",
    "Drain",
    "Explain",
    "Fallback",
    "FallbackResponse",
    "Graph",
    "HeaderRules",
    "Limits",
    "Mapping",
    "Node",
    "PayloadLog",
    "PayloadSinks",
    "Protocol",
    "RouterType",
    "Server",
    "ServerTimeouts",
    "ServerTls",
    "Sink",
    "Step",
    "Telemetry",
]


class ServerTls(Mapping, frozen=True, kw_only=True):
    """TLS on the listeners; with `clientCaFile` clients must show a certificate signed by it."""

    cert_file: Annotated[str, Meta(description="Certificate chain, PEM.")]
    key_file: Annotated[str, Meta(description="Its private key, PEM.")]
    client_ca_file: Annotated[str | None, Meta(description="Authorities whose clients are let in, PEM.")] = None


class ServerTimeouts(Mapping, frozen=True, kw_only=True):
    """How long the gateway waits for its clients, and the default deadline of a graph."""

    header: Annotated[Duration, Meta(description="To receive a request's head; 0s: no limit.")] = 10.0
    body: Annotated[Duration, Meta(description="To receive a request's body; 0s: no limit.")] = 60.0
    idle: Annotated[Duration, Meta(description="Between two requests of a connection; 0s: no limit.")] = 180.0
    request: Annotated[Duration, Meta(description="The deadline of a graph that has no `timeout` of its own.")] = 60.0


class Limits(Mapping, frozen=True, kw_only=True):
    """What a client may ask of the gateway."""

    max_body_bytes: Annotated[Size, Meta(description="The largest request body; beyond it 413.")] = 64 << 20
    max_buffered_bytes: Annotated[
        Size,
        Meta(
            description="Bytes of bodies held at once, all workers together: requests, and answers that do not stream, "
            "each from 64KiB on; beyond it 503. Each worker may hold one of `maxBodyBytes` anyway. 0: no limit."
        ),
    ] = 512 << 20
    max_header_bytes: Annotated[Size, Meta(description="The largest request head; beyond it 431.")] = 60 << 10
    max_headers: Annotated[Count, Meta(description="The most header fields of a request; beyond it 431.")] = 100
    max_connections: Annotated[Count, Meta(description="Open connections, all workers together; 0: no limit.")] = 10_000
    max_in_flight: Annotated[
        Count, Meta(description="Requests at work, all workers together; beyond it 503; 0: no limit.")
    ] = 0


class Drain(Mapping, frozen=True, kw_only=True):
    """The end: not ready for `delay` while still accepting, then `timeout` to finish what is in flight."""

    delay: Annotated[Duration, Meta(description="Not ready, but still accepting: load balancers take notice.")] = 5.0
    timeout: Annotated[Duration, Meta(description="To finish what is in flight once nothing is accepted.")] = 30.0


class Server(Mapping, frozen=True, kw_only=True):
    """The data port. `listen`, `workers`, `tls` and `trustedProxies` need a restart to change."""

    listen: Annotated[
        tuple[str, ...],
        Meta(
            description="Where clients connect: `host:port`, `[v6]:port`, `:port` or `unix:/path`; one, or a list.",
            extra={"or_one": True},
        ),
    ] = ("0.0.0.0:8080",)
    workers: Annotated[
        Annotated[int, Meta(ge=1)] | Literal["auto"],
        Meta(description="Processes; `auto`: one for each core that cgroup and affinity allow."),
    ] = "auto"
    tls: Annotated[ServerTls | None, Meta(description="TLS on every TCP listener.")] = None
    timeouts: Annotated[ServerTimeouts, Meta(description="Patience with clients.")] = ServerTimeouts()
    limits: Annotated[Limits, Meta(description="What a client may ask for.")] = Limits()
    drain: Annotated[Drain, Meta(description="How it ends.")] = Drain()
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="Networks (CIDR) of the proxies whose word about the client is believed.")
    ] = ("127.0.0.1/32", "::1/128")
    headers: Annotated[HeaderRules, Meta(description="For all graphs and backends.")] = HeaderRules()


class Admin(Mapping, frozen=True, kw_only=True):
    """The admin site: metrics, health, reload. Never on the data port."""

    listen: Annotated[str, Meta(description="`host:port`, `[v6]:port`, `:port` or `unix:/path`.")] = "127.0.0.1:9901"


RouterType = Literal["Sequence", "Switch", "Ensemble", "Splitter"]


class FallbackResponse(Mapping, frozen=True, kw_only=True):
    """An answer of the gateway's own."""

    status: Annotated[Status, Meta(description="Its status.")] = 200
    headers: Annotated[
        dict[str, str],
        Meta(description="Its headers; without a `content-type` one that the body has: JSON, or plain text."),
    ] = {}
    body: Annotated[Any, Meta(description="Any JSON, written as YAML; or text, which is sent as it is.")] = None


class Fallback(Mapping, frozen=True, kw_only=True):
    """What stands in for a step that failed: exactly one of `backend`, `nodeName` and `response`."""

    backend: Annotated[str | None, Meta(description="Call this backend instead.")] = None
    node_name: Annotated[str | None, Meta(description="Go on with this node instead.")] = None
    response: Annotated[FallbackResponse | None, Meta(description="Answer this.")] = None


class Step(Mapping, frozen=True, kw_only=True):
    """One step of a node: exactly one of `nodeName`, `backend` and `serviceUrl`."""

    name: Annotated[
        str, Meta(description="Shown in pictures and logs; the key of its answer in an `Ensemble` (else: the index).")
    ] = ""
    node_name: Annotated[str | None, Meta(description="Go on with this node of the graph.")] = None
    backend: Annotated[str | None, Meta(description="Call this backend.", extra={"alias": "serviceName"})] = None
    service_url: Annotated[str | None, Meta(description="Call exactly this URL.")] = None
    data: Annotated[
        str,
        Meta(
            description="In a `Sequence`, what the step gets: `$request`, the node's input, or `$response`, the "
            "previous step's answer."
        ),
    ] = "$request"
    dependency: Annotated[
        Literal["Soft", "Hard"], Meta(description="`Hard`: its failure is the node's answer; `Soft`: go on without.")
    ] = "Soft"
    condition: Annotated[
        str | None,
        Meta(
            description="In a `Switch`, tested on the input; in a `Sequence`, on the previous step's answer (for the "
            "first step: on the input)."
        ),
    ] = None
    on_unmet: Annotated[
        Literal["stop", "skip"],
        Meta(description="In a `Sequence`, when the condition does not hold: `stop` there, or `skip` the step."),
    ] = "stop"
    map_predictions_to_instances: Annotated[
        bool, Meta(description='In a `Sequence`: send `{"predictions": …}` on as `{"instances": …}`.')
    ] = False
    weight: Annotated[
        Count | None, Meta(description="In a `Splitter`, any whole number; the share is weight / sum of weights.")
    ] = None
    timeout: Annotated[Duration | None, Meta(description="Tightens the deadline for this step.")] = None
    fallback: Annotated[
        Fallback | None,
        Meta(
            description="Taken when the step has no answer, after all its retries, or one of 500 and above; it has "
            "the time that the step's `timeout` leaves of the graph's."
        ),
    ] = None
    payload_log: Annotated[PayloadLog | None, Meta(description="Log what the step is sent and answers.")] = None


class Node(Mapping, frozen=True, kw_only=True):
    """A router of the graph, in KServe's vocabulary."""

    router_type: Annotated[
        RouterType,
        Meta(
            description="`Sequence`: one step after the other; `Switch`: the first step whose condition holds; "
            "`Ensemble`: all steps at once; `Splitter`: one step, drawn by weight."
        ),
    ]
    steps: Annotated[tuple[Step, ...], Meta(description="At least one.")] = ()


class Explain(Mapping, frozen=True, kw_only=True):
    """Where `:explain` goes."""

    backend: Annotated[str, Meta(description="The name of a backend.")]


class Graph(Mapping, frozen=True, kw_only=True):
    """A model, as clients see it: nodes that start at `root`."""

    nodes: Annotated[dict[str, Node], Meta(description="By name; a request enters at `root`.")]
    protocol: Annotated[
        Literal["v1", "v2", "both"] | None,
        Meta(description="Which API serves the graph; default: what its backends speak."),
    ] = None
    timeout: Annotated[
        Duration | None,
        Meta(description="One deadline for the whole graph and all its calls; default: `server.timeouts.request`."),
    ] = None
    condition_language: Annotated[
        Literal["jmespath", "gjson"] | None,
        Meta(description="Of the conditions; default: `jmespath`, or `gjson` with `compat: kserve`."),
    ] = None
    compat: Annotated[
        Literal["none", "kserve"],
        Meta(description="`kserve`: the errors, status codes and Soft/Hard rules of KServe's router, exactly."),
    ] = "none"
    explain: Annotated[Explain | None, Meta(description="Without it `:explain` is a 404.")] = None
    headers: Annotated[HeaderRules, Meta(description="For this graph.")] = HeaderRules()
    payload_log: Annotated[PayloadLog | None, Meta(description="Log what clients send and are answered.")] = None
    service_timeout: Annotated[
        Duration | None,
        Meta(
            description="How long one call of a `serviceUrl` step may take; KServe's `routerTimeouts.serviceClient`.",
        ),
    ] = None


class Config(Mapping, frozen=True, kw_only=True):
    """One whole configuration, from one or several files."""

    server: Annotated[Server, Meta(description="The data port.")] = Server()
    admin: Annotated[Admin, Meta(description="The admin site.")] = Admin()
    default_graph: Annotated[
        str | None, Meta(description="The graph that answers any path no API claims; default: the only graph.")
    ] = None
    service_url_template: Annotated[
        str,
        Meta(
            description="Where an `InferenceGraph`'s `serviceName` is found when no backend has that name; "
            "`{name}` and `{namespace}` are filled in."
        ),
    ] = "http://{name}.{namespace}.svc.cluster.local"
    backends: Annotated[dict[str, Backend], Meta(description="Model servers, by name.")] = {}
    graphs: Annotated[dict[str, Graph], Meta(description="Models as clients see them, by name.")] = {}
    payload_log: Annotated[PayloadSinks, Meta(description="Where payload events go.")] = PayloadSinks()
    telemetry: Annotated[Telemetry, Meta(description="Access log and more metrics.")] = Telemetry()
    router: Annotated[
        bool,
        Meta(
            description="Started with --graph-json: every path but /readyz is the one graph.", extra={"internal": True}
        ),
    ] = False
