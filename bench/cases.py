"""All that is measured, in the order of the report: each case a few values."""

from __future__ import annotations

import graphs
from batching import Batching
from latency import Latency
from load import Traffic
from memory import Memory
from outcome import Measured
from peers import PEERS, Gateway, Haproxy, Nginx, Setup
from reload import Reload
from start import Start
from throughput import Entry, Throughput

KIB = 1 << 10
MIB = 1 << 20

ALL = tuple(Entry(peer.name, peer, Setup(graphs.pass_through)) for peer in PEERS)
SPLITTING = tuple(Entry(peer.name, peer) for peer in PEERS)
REFERENCES = ("haproxy", "aiohttp_proxy", "floor")

REQUEST_ID = ("x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e")
VIA = ("x-forwarded-for", "192.0.2.1")
RETRY: dict[str, object] = {"retry": {"retryOn": ["connect-failure", "reset", "gateway-error", "429"]}}
LIMITS: dict[str, object] = {"circuitBreaker": {}, "concurrency": {"limit": 1000}}
HEALTH: dict[str, object] = {"healthCheck": {"path": "/", "expectedStatuses": [200, 405]}, "outlierDetection": {}}
ACCESS: dict[str, object] = {"telemetry": {"accessLog": {"path": "/dev/null"}}}
SINK: dict[str, object] = {"payloadLog": {"sinks": {"null": {"type": "file", "path": "/dev/null"}}}}
TRACING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9",
    "OTEL_TRACES_SAMPLER=traceidratio",
    "OTEL_TRACES_SAMPLER_ARG=0.01",
)
KILOBYTE = Traffic(up=KIB, down=KIB)
FORWARDED = {"headers": {"propagate": ["^x-forwarded-for$"]}}

CONNECTIONS = tuple(
    Throughput(f"pass-through-{n}", f"one backend, 100 B, connections: {n}", ALL, REFERENCES, Traffic(n))
    for n in (1, 16, 64, 512)
)

BODIES = tuple(
    Throughput(f"pass-through-{name}", f"one backend, 64 connections, {title}", ALL, ("nginx", *REFERENCES), traffic)
    for name, title, traffic in (
        ("10k-up", "10 KiB up", Traffic(up=10 * KIB)),
        ("10k-down", "10 KiB down", Traffic(down=10 * KIB)),
        ("1m-up", "1 MiB up", Traffic(up=MIB)),
        ("1m-down", "1 MiB down", Traffic(down=MIB)),
    )
)

SPLITTER = Throughput("splitter", "Splitter 90/10, 100 B, 64 connections", SPLITTING, REFERENCES, weights=(90, 10))

NODES = Throughput(
    "nodes",
    "what each node costs, 64 connections; all in the gateway",
    (
        Entry("pass-through", setup=Setup(graphs.pass_through)),
        Entry("Sequence of 3", setup=Setup(graphs.sequence)),
        Entry("Ensemble of 3", setup=Setup(graphs.ensemble)),
        Entry("Switch, jmespath", setup=Setup(graphs.switch("instances[?kind == 'dog']"))),
        Entry("Switch, gjson", setup=Setup(graphs.switch('instances.#(kind=="dog")'), "gjson")),
        Entry("nested 3 deep", setup=Setup(graphs.nested)),
    ),
    ("pass-through",),
    weights=(1, 1, 1),
)

SIZES = Throughput(
    "graph-size",
    "nodes in the graph, of which a request meets the same 3 (with 1: the one)",
    tuple(Entry(f"{size} nodes", setup=Setup(graphs.sized(size))) for size in (1, 10, 100, 1000)),
    ("10 nodes",),
)

FEATURES = Throughput(
    "features",
    "what a feature costs on top of the pass-through, 64 connections; all in the gateway",
    (
        Entry("bare", setup=Setup(graphs.pass_through)),
        Entry("x-request-id sent", setup=Setup(graphs.pass_through), traffic=Traffic(headers=(REQUEST_ID,))),
        Entry("a new traceparent each", setup=Setup(graphs.pass_through), traffic=Traffic(fresh_heads=True)),
        Entry("TLS on the listener", setup=Setup(graphs.pass_through, tls=True)),
        Entry("x-forwarded-for", setup=Setup(graphs.pass_through, server=FORWARDED), traffic=Traffic(headers=(VIA,))),
        Entry("retry on any failure", setup=Setup(graphs.pass_through, backend=RETRY)),
        Entry("breaker, limit, queue", setup=Setup(graphs.pass_through, backend=LIMITS)),
        Entry("health checks, ejection", setup=Setup(graphs.pass_through, backend=HEALTH)),
        Entry("hedge", setup=Setup(graphs.pass_through, backend={"hedge": {"after": "1s"}})),
        Entry(
            "all four", setup=Setup(graphs.pass_through, backend=RETRY | LIMITS | HEALTH | {"hedge": {"after": "1s"}})
        ),
        Entry("access log", setup=Setup(graphs.pass_through, file=ACCESS)),
        Entry("tracing at 1 %", setup=Setup(graphs.pass_through, environment=TRACING)),
        Entry("1 KiB each way", setup=Setup(graphs.pass_through), traffic=KILOBYTE),
        Entry("1 KiB, payload log", setup=Setup(graphs.pass_through, file=SINK, log="null"), traffic=KILOBYTE),
        Entry("maxInFlight", setup=Setup(graphs.pass_through, server={"limits": {"maxInFlight": 10_000}})),
    ),
    ("bare",),
    note="The cost of a feature is the µs CPU of the worker less those of the bare pass-through, whose clients send no "
    "x-request-id. The payload log has a process of its own for sending, which is in the column µs CPU only.",
)

WORKERS = Throughput(
    "workers",
    "processes of the gateway, 64 connections",
    tuple(Entry(f"{count} workers", setup=Setup(graphs.pass_through, workers=count)) for count in (1, 2)),
    ("1 workers",),
    note="All workers share the one core: the load and the backend need the other. This shows what a second process "
    "costs, not how the gateway scales.",
)

CASES: tuple[Measured, ...] = (
    *CONNECTIONS,
    *BODIES,
    SPLITTER,
    NODES,
    SIZES,
    FEATURES,
    WORKERS,
    Latency("latency", "added to a direct call, open loop, 64 connections, 100 B", (Gateway, Haproxy, Nginx)),
    Memory("memory", "one worker, 2,000 idle connections, 64 requests of 1 MiB, a soak of mixed load"),
    Reload("reload", "a new configuration every second, under 5,000 requests a second; Splitter 90/10"),
    Batching("batching", "a model that takes 10 ms for a call and 0.25 ms for a row; one row a request"),
    Start("start", "from exec to the first answer"),
)
