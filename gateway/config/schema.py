"""Frozen structs, one per YAML mapping: the single source of decoding, checking, the JSON Schema and the reference.

Field names are the camelCase keys of the file in snake_case. Durations are seconds, sizes are bytes, once decoded.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class Mapping(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """One YAML mapping."""


Duration = Annotated[
    float,
    Meta(
        extra={"scalar": "duration"},
        extra_json_schema={"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"},
    ),
]
"""A Gateway API duration (GEP-2257): ``250ms``, ``1m30s``."""

Size = Annotated[
    int,
    Meta(
        extra={"scalar": "size"},
        extra_json_schema={"type": ["string", "integer"], "pattern": "^[0-9]+(KiB|MiB|GiB)?$", "minimum": 0},
    ),
]
"""``64KiB``, ``16MiB``, ``1GiB`` or plain bytes."""

Count = Annotated[int, Meta(ge=0)]

DEFAULT_PROPAGATE = ("^traceparent$", "^tracestate$", "^baggage$", "^x-request-id$", "^content-type$", "^accept$")


class ServerTls(Mapping):
    """TLS on the listeners; with ``clientCaFile`` clients must show a certificate signed by it."""

    cert_file: str
    key_file: str
    client_ca_file: str | None = None


class ServerTimeouts(Mapping):
    """How long the gateway waits for its clients, and the default deadline of a graph."""

    header: Duration = 10.0
    body: Duration = 60.0
    idle: Duration = 180.0
    request: Duration = 60.0


class Limits(Mapping):
    """What a client may ask of the gateway. ``maxConnections`` and ``maxInFlight`` are for all workers; 0: no limit."""

    max_body_bytes: Size = 64 << 20
    max_header_bytes: Size = 60 << 10
    max_headers: Count = 100
    max_connections: Count = 10_000
    max_in_flight: Count = 0


class Drain(Mapping):
    """The end: not ready for ``delay`` while still accepting, then ``timeout`` to finish what is in flight."""

    delay: Duration = 5.0
    timeout: Duration = 30.0


class HeaderRules(Mapping):
    """Which client headers reach the backend, and what is added or taken away there. None: see the level above."""

    propagate: tuple[str, ...] | None = None
    set: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Server(Mapping):
    """The data port. Everything here but ``headers`` and ``limits`` needs a restart to change."""

    listen: tuple[str, ...] = ("0.0.0.0:8080",)
    workers: Annotated[int, Meta(ge=1)] | Literal["auto"] = "auto"
    tls: ServerTls | None = None
    timeouts: ServerTimeouts = ServerTimeouts()
    limits: Limits = Limits()
    drain: Drain = Drain()
    trusted_proxies: tuple[str, ...] = ("127.0.0.1/32", "::1/128")
    headers: HeaderRules = HeaderRules()


class Admin(Mapping):
    """The admin site: metrics, health, reload. Never on the data port."""

    listen: str = "127.0.0.1:9901"


class BackendTimeouts(Mapping):
    """``connect``: TCP and TLS; ``request``: from the first byte sent to the last byte of the answer."""

    connect: Duration = 5.0
    request: Duration = 30.0


class BackendTls(Mapping):
    """How ``https`` endpoints are verified, and the certificate shown to them."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False


class Backend(Mapping):
    """A model server, and the name of the model there."""

    url: str
    protocol: Literal["v1", "v2", "raw"] = "v1"
    model: str | None = None
    path: str | None = None
    timeouts: BackendTimeouts = BackendTimeouts()
    headers: HeaderRules = HeaderRules()
    tls: BackendTls | None = None


RouterType = Literal["Sequence", "Switch", "Ensemble", "Splitter"]


class Step(Mapping):
    """One step of a node: exactly one of ``nodeName``, ``backend`` (or ``serviceName``) and ``serviceUrl``."""

    name: str = ""
    node_name: str | None = None
    backend: str | None = None
    service_url: str | None = None
    data: str = "$request"
    dependency: Literal["Soft", "Hard"] = "Soft"
    condition: str | None = None
    on_unmet: Literal["stop", "skip"] = "stop"
    map_predictions_to_instances: bool = False
    weight: Count | None = None
    timeout: Duration | None = None


class Node(Mapping):
    """A router of the graph, in KServe's vocabulary."""

    router_type: RouterType
    steps: tuple[Step, ...] = ()


class Explain(Mapping):
    """Where ``:explain`` goes."""

    backend: str


class Graph(Mapping):
    """A model, as clients see it: nodes that start at ``root``."""

    nodes: dict[str, Node]
    protocol: Literal["v1", "v2", "both"] | None = None
    timeout: Duration | None = None
    condition_language: Literal["jmespath", "gjson"] | None = None
    compat: Literal["none", "kserve"] = "none"
    explain: Explain | None = None
    headers: HeaderRules = HeaderRules()
    service_timeout: Duration | None = None
    """How long one call of a ``serviceUrl`` step may take; KServe's ``routerTimeouts.serviceClient``."""


class Config(Mapping):
    """One whole configuration, from one or several files."""

    server: Server = Server()
    admin: Admin = Admin()
    default_graph: str | None = None
    service_url_template: str = "http://{name}.{namespace}.svc.cluster.local"
    backends: dict[str, Backend] = {}
    graphs: dict[str, Graph] = {}
