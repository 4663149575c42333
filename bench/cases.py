"""All that is measured, in the order of the report: each case a few values."""

from __future__ import annotations

import graphs
from load import Traffic
from outcome import Measured
from peers import PEERS, Setup
from reload import Reload
from start import Start
from throughput import Entry, Throughput

KIB = 1 << 10
MIB = 1 << 20

ALL = tuple(Entry(peer.name, peer, Setup(graphs.pass_through)) for peer in PEERS)
SPLITTING = tuple(Entry(peer.name, peer) for peer in PEERS)
REFERENCES = ("haproxy", "aiohttp_proxy", "floor")

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

CASES: tuple[Measured, ...] = (
    *CONNECTIONS,
    *BODIES,
    SPLITTER,
    NODES,
    SIZES,
    Reload("reload", "a new configuration every second, under 5,000 requests a second; Splitter 90/10"),
    Start("start", "from exec to the first answer"),
)
