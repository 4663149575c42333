"""Config to App: every service built, every name resolved. The ONLY file that knows the order of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from urllib.parse import quote

from .api.face import Claim, Face
from .api.kserve import KServeRouter
from .api.readiness import Needs, Reachable
from .api.router import Router
from .api.v1 import V1
from .api.v2 import V2
from .app import App
from .config import schema
from .config.walk import backends, ends, reachable, tails, upwards
from .graph.condition import compile_condition
from .graph.ensemble import Ensemble
from .graph.kserve import (
    BadUrl,
    CallService,
    KServeEdge,
    KServeEnsemble,
    KServeSequence,
    KServeSplitter,
    KServeSwitch,
    NoNode,
    Redirects,
    Sidecar,
    refusal,
)
from .graph.kserve.sidecar import Way
from .graph.sequence import Sequence
from .graph.splitter import Splitter
from .graph.step import Step
from .graph.switch import Switch
from .http.origin import AS_IT_IS, Origin, split
from .layers.admit import Allowance, admit
from .layers.deadline import deadline
from .layers.fallback import Prepared, fallback
from .layers.fault import fault
from .layers.forward import Address, ContentTypeJson, forward, rules
from .layers.forwarded import forwarded
from .layers.observe import observe_backend, observe_graph
from .layers.recover import Recover
from .leases import Lease, Leases
from .service import Service, stack
from .telemetry.metrics import Registry

NODES: dict[str, dict[str, Callable[[Iterable[Step]], Service]]] = {
    "none": {"Sequence": Sequence, "Switch": Switch, "Ensemble": Ensemble, "Splitter": Splitter},
    "kserve": {
        "Sequence": KServeSequence,
        "Switch": KServeSwitch,
        "Ensemble": KServeEnsemble,
        "Splitter": KServeSplitter,
    },
}

Built = tuple[Service, Needs | Reachable]
"""A service, and what must be reachable for it to work."""


def compile_app(config: schema.Config, leases: Leases, registry: Registry, workers: int = 1) -> App:
    """The App of ``config``; ``workers`` share the limits that are meant for the whole gateway.

    Raises OSError or ssl.SSLError when a TLS file of a backend is missing or does not fit; nothing stays leased then.
    """
    lease = Lease(leases, registry, config.server.limits.max_body_bytes)
    try:
        return _Compiler(config, leases, lease, registry, workers).app()
    except BaseException:
        lease.release()
        raise


class _Compiler:
    """One run over one Config."""

    def __init__(self, config: schema.Config, leases: Leases, lease: Lease, registry: Registry, workers: int) -> None:
        self._config = config
        self._leases = leases
        self._lease = lease
        self._registry = registry
        places = config.server.limits.max_in_flight
        self._allowance = Allowance(-(-places // workers)) if places else None

    def app(self) -> App:
        faces = [_Graph(self, name, graph).face() for name, graph in self._config.graphs.items()]
        serving = partial(getattr, self._leases, "ready")
        default = self._config.default_graph or (faces[0].name if len(faces) == 1 else None)
        answering = next((face.service for face in faces if face.name == default), None)
        if self._config.router and answering is not None:
            return App(Recover(KServeRouter(answering, serving)), self._lease.release, self._describe)
        apis: list[Claim] = [V1(faces), V2(faces, serving)]
        return App(Recover(Router(apis, answering)), self._lease.release, self._describe)

    def _describe(self) -> list[dict[str, object]]:
        return [pool.describe() for pool in self._lease.pools.values()]

    # The order of layers, outermost first. Recover stands around all graphs: nothing escapes unanswered. Observe stands
    # outside Admit, so that refusals are counted; Deadline inside both.

    def edge(self, name: str, graph: schema.Graph, root: Service) -> Service:
        """What every request to a graph passes through, once."""
        timeout = self._config.server.timeouts.request if graph.timeout is None else graph.timeout
        return stack(
            observe_graph(self._registry, name),
            KServeEdge if graph.compat == "kserve" else None,
            admit(self._allowance) if self._allowance else None,
            deadline(timeout) if timeout else None,
            service=root,
        )

    def backend(
        self,
        name: str,
        backend: schema.Backend,
        graph: schema.Graph,
        address: Address | bytes,
        origin: Origin,
        streams: bool,
    ) -> Built:
        """A call of a backend at ``address``; bytes: with the client's own method and target, and these before it.

        ``streams``: its answers are passed on to the client as they are.
        """
        server = self._config.server
        allowed, added = rules(graph.compat, server.headers, graph.headers, backend.headers)
        kserve = graph.compat == "kserve"
        service, reachable = (
            self._going(name, origin, backend, frozenset(dict(added))) if kserve else self._pool(name, origin, backend)
        )
        service = stack(
            observe_backend(self._registry, name),
            forward(allowed, added, address, backend.timeouts.request or inf, tell_time=not kserve, streams=streams),
            forwarded(server.trusted_proxies) if allowed[b"x-forwarded-for"] and not kserve else None,
            ContentTypeJson if kserve else None,
            fault(backend.fault, self._registry, name) if backend.fault else None,
            service=service,
        )
        return service, reachable

    def _pool(self, name: str, origin: Origin, backend: schema.Backend) -> Way:
        pool = self._lease.pool(name, origin, backend.tls, backend.timeouts.connect)
        pool.first_byte = backend.timeouts.first_byte
        pool.silence = backend.timeouts.idle or inf
        return pool, pool.reachable

    def _going(self, name: str, origin: Origin, backend: schema.Backend, private: frozenset[bytes]) -> Way:
        """As Go's client in KServe's router does: wherever it is redirected, and in a mesh without TLS of its own."""
        elsewhere = partial(self._lease.visit, name, connect_timeout=backend.timeouts.connect)
        pool, reachable = self._pool(name, origin, backend)
        way: Way = Redirects(origin, pool, elsewhere, private), reachable
        if not origin.tls:
            return way
        url = f"http{backend.url[5:]}"
        plain = self._going(name, split(url)[0], backend, private)
        sidecar = Sidecar(self._leases.mesh, way, plain, url)
        return sidecar, sidecar.reachable

    def named(self, name: str, graph: schema.Graph, verb: str = "", *, streams: bool = False) -> Built:
        """A configured backend, called as its protocol says; ``verb``: explain or metadata instead of inference."""
        backend = self._config.backends[name]
        origin, prefix = split(backend.url)
        built = self.backend(name, backend, graph, _address(name, backend, prefix, verb), origin, streams)
        if graph.compat == "kserve":
            return CallService(backend.url, built[0]), built[1]
        return built


class _Graph:
    """One run over one graph of it."""

    def __init__(self, compiler: _Compiler, name: str, graph: schema.Graph) -> None:
        self._compiler = compiler
        self._name = name
        self._graph = graph
        self._language = graph.condition_language or ("gjson" if graph.compat == "kserve" else "jmespath")
        self._nodes: dict[tuple[str, bool], Built] = {}
        """By name, and by whether their answers are passed on as they are."""
        self._backends = backends(graph, reachable(graph))

    def face(self) -> Face:
        compiler, graph = self._compiler, self._graph
        passing = graph.compat != "kserve"
        uses = tails(graph, passing)
        for name in upwards(graph):
            for tail in uses[name]:
                self._nodes[name, tail] = self._node(name, graph.nodes[name], tail)
        root, needs = self._nodes["root", passing]
        explain = compiler.named(graph.explain.backend, graph, "explain", streams=passing)[0] if graph.explain else None
        v1, v2 = self._spoken()
        return Face(
            self._name,
            compiler.edge(self._name, graph, root),
            needs.ready if isinstance(needs, Needs) else needs,
            v1,
            v2,
            explain and compiler.edge(self._name, graph, explain),
            self._metadata(),
        )

    def _spoken(self) -> tuple[bool, bool]:
        """Whether v1 and whether v2 serve the graph: what it says, else what its backends speak, else both."""
        backends = self._compiler._config.backends
        protocol = self._graph.protocol
        spoken = {backends[name].protocol for name in self._backends} - {"raw"} if protocol is None else {protocol}
        return spoken != {"v2"}, spoken != {"v1"}

    def _metadata(self) -> Service | None:
        """The first v2 backend's."""
        backends = self._compiler._config.backends
        name = next((name for name in self._backends if backends[name].protocol == "v2"), None)
        return None if name is None else self._compiler.named(name, self._graph, "metadata")[0]

    def _node(self, name: str, node: schema.Node, tail: bool) -> Built:
        """One node; those that its steps lead to are built already. ``tail``: its answer is the graph's."""
        built = [self._step(name, index, step, tail and ends(node, index)) for index, step in enumerate(node.steps)]
        every = node.router_type in ("Sequence", "Ensemble")
        needs = Needs(every, tuple(need for step, need in built if node.router_type != "Splitter" or step.weight))
        return NODES[self._graph.compat][node.router_type](step for step, _ in built), needs

    def _step(self, node: str, index: int, step: schema.Step, tail: bool) -> tuple[Step, Needs | Reachable]:
        name = step.name or step.backend or step.node_name or step.service_url or str(index)
        label = f"{node}={name}".encode()
        service, needs = (
            self._target(step, tail) if step.fallback is None else self._backed(step, step.fallback, label, tail)
        )
        condition = compile_condition(self._language, step.condition) if step.condition is not None else None
        return (
            Step(
                node=node,
                index=index,
                name=name,
                key=step.name or str(index),
                label=label,
                at=(node, name),
                service=service,
                hard=step.dependency == "Hard",
                use_response=step.data == "$response",
                condition=condition,
                skip=step.on_unmet == "skip",
                map_predictions=step.map_predictions_to_instances,
                timeout=step.timeout if step.fallback is None else None,
                weight=step.weight or 0,
            ),
            needs,
        )

    def _backed(self, step: schema.Step, instead: schema.Fallback, label: bytes, tail: bool) -> Built:
        """A step with its fallback: its own timeout stands inside, and either of them is enough to be ready."""
        service, needs = self._target(step, tail)
        other, others_needs = self._target(instead, tail)
        return fallback(other, label + b"~fallback", step.timeout)(service), Needs(False, (needs, others_needs))

    def _target(self, way: schema.Step | schema.Fallback, tail: bool) -> Built:
        if way.node_name is not None:
            return self._nodes.get((way.node_name, tail)) or (NoNode(), _never)
        if way.backend is not None:
            return self._compiler.named(way.backend, self._graph, streams=tail)
        if isinstance(way, schema.Fallback):
            return Prepared(way.response or schema.FallbackResponse()), _always
        return self._url(way.service_url or "", tail)

    def _url(self, url: str, tail: bool) -> Built:
        """A ``serviceUrl``: called with POST, exactly there."""
        graph = self._graph
        if graph.compat == "kserve" and (refused := refusal(url)) is not None:
            action, cause = refused
            return BadUrl(url, cause, action), _never
        try:
            origin, target = split(url)
        except ValueError as error:  # a port beyond 65535
            return BadUrl(url, str(error)), _never
        timeouts = schema.BackendTimeouts(request=graph.service_timeout or (0.0 if graph.compat == "kserve" else 30.0))
        backend = schema.Backend(url=url, protocol="raw", timeouts=timeouts)
        address = b"POST", quote(target if target.startswith("/") else f"/{target}", safe=AS_IT_IS).encode()
        service, needs = self._compiler.backend(str(origin), backend, graph, address, origin, tail)
        return (CallService(url, service) if graph.compat == "kserve" else service), needs


async def _never() -> bool:
    return False


async def _always() -> bool:
    return True


def _address(name: str, backend: schema.Backend, prefix: str, verb: str) -> Address | bytes:
    """Where a backend of each protocol is called; ``verb``: "" for inference."""
    model = quote(backend.model or name, safe="")
    prefix = prefix.rstrip("/")
    if backend.protocol == "raw":
        return prefix.encode() if backend.path is None else (b"POST", (prefix + backend.path).encode())
    if verb == "metadata":
        return b"GET", f"{prefix}/v2/models/{model}".encode()
    if backend.protocol == "v1":
        return b"POST", f"{prefix}/v1/models/{model}:{verb or 'predict'}".encode()
    return b"POST", f"{prefix}/v2/models/{model}/infer".encode()
