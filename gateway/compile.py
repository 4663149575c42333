"""Config to App: every service built, every name resolved. The ONLY file that knows the order of layers."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from functools import cache, partial
from math import inf
from urllib.parse import quote

from msgspec import structs

from .api.face import Claim
from .api.kserve import KServeRouter
from .api.router import Router
from .api.template import template
from .api.v1 import V1
from .api.v2 import V2
from .app import App
from .batching.batcher import Batcher
from .compile_graph import Built, compile_graph
from .compile_ways import Ways
from .config import schema
from .config.backend import Backend, Retry
from .config.payload import PayloadLog
from .formats import format_of
from .graph.kserve import BadUrl, CallService, KServeEdge, refusal
from .http.origin import AS_IT_IS, split
from .layers.access import Access, Overhead, route
from .layers.admit import Allowance, admit
from .layers.affinity import affinity
from .layers.batch import PRIORITY, apart, batch, batcher, priorities
from .layers.budget import Budget
from .layers.deadline import deadline
from .layers.fault import fault
from .layers.forward import Address, ContentTypeJson, forward, rules
from .layers.forwarded import forwarded
from .layers.hedge import hedge, hedge_budget
from .layers.observe import observe_backend, observe_graph, observe_step
from .layers.pace import Pace
from .layers.payload import payload
from .layers.quantile import Latency
from .layers.recover import Recover
from .layers.retry import retry, retry_budget
from .layers.trace import trace, trace_node, withhold
from .leases import Lease, Leases
from .payload.recorder import Recorder
from .payload.sampling import sampling
from .service import Layer, Service, called, stack
from .telemetry.metrics import Counter, Registry
from .telemetry.names import BOUNDS


def compile_app(config: schema.Config, leases: Leases, registry: Registry, workers: int = 1) -> App:
    """The App of ``config``; ``workers`` share the limits that are meant for the whole gateway.

    Raises OSError or ssl.SSLError when a TLS file of a backend is missing or does not fit; nothing stays leased then.
    """
    # Always the same in one process: a reload that would change it is refused (control/reload.py).
    registry.buckets = BOUNDS[config.telemetry.buckets]
    lease = Lease(leases, registry, config.server.limits.max_body_bytes, workers)
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
        self._tracer = leases.tracer
        self._scheme = "https" if config.server.tls else "http"
        self._lease = lease
        self._registry = registry
        self.backends = config.backends
        self._patience: dict[str, tuple[Budget, Budget | None, Latency]] = {}
        self._paces = cache(lambda name, address: Pace(name, asyncio.get_running_loop().time))
        self._ways = Ways(lease, registry, leases.mesh)
        self._batchers: dict[str, Batcher] = {}
        self._workers = workers
        self._access = self._keeps_records()
        places = config.server.limits.max_in_flight
        self._allowance = Allowance(-(-places // workers), registry, workers) if places else None

    def app(self) -> App:
        faces = [compile_graph(self, name, graph) for name, graph in self._config.graphs.items()]
        serving = partial(getattr, self._leases, "ready")
        default = self._config.default_graph or (faces[0].name if len(faces) == 1 else None)
        answering = next((face.service for face in faces if face.name == default), None)
        if self._config.router and answering is not None:
            return self._around(KServeRouter(answering, serving))
        apis: list[Claim] = [V1(faces), V2(faces, serving)]
        return self._around(Router(apis, answering))

    def _around(self, entry: Service) -> App:
        """Records begin and end with Recover, so that the access log sees what clients see."""
        return App(Recover(called(entry), self._access), self._lease, self._access.refused if self._access else None)

    def _keeps_records(self) -> Access | None:
        log = self._config.telemetry.access_log
        note = self._lease.access_log(log).note if log is not None and log.enabled else None
        if self._config.telemetry.overhead_metrics:
            note = Overhead(self._registry, self._config.graphs, note)
        return Access(note) if note else None

    # The order of layers, outermost first. Recover stands around all graphs: nothing escapes unanswered. Observe stands
    # outside Admit, so that refusals are counted; Deadline inside both. Payload sees what the client sees.

    def edge(self, name: str, graph: schema.Graph, root: Service) -> Service:
        """What every request to a graph passes through, once."""
        timeout = self._config.server.timeouts.request if graph.timeout is None else graph.timeout
        return stack(
            route(name) if self._access else None,
            observe_graph(self._registry, name),
            trace(self._tracer, name, self._scheme, template) if self._tracer else None,
            self.logged(graph.payload_log, name) if graph.payload_log else None,
            KServeEdge if graph.compat == "kserve" else None,
            admit(self._allowance) if self._allowance else None,
            deadline(timeout) if timeout else None,
            service=root,
        )

    def step(self, graph: str, at: tuple[str, str], service: Service) -> Service:
        """A step of a node, whatever it leads to."""
        return stack(
            observe_step(self._registry, graph, *at) if self._config.telemetry.step_metrics else None, service=service
        )

    def taken(self, graph: str, at: tuple[str, str]) -> Counter:
        """What counts how often a step was chosen."""
        return self._registry.counter("gateway_split_total", graph=graph, node=at[0], step=at[1])

    def node(self, graph: str, name: str, kind: str, service: Service) -> Service:
        """What every request to a node of a graph passes through."""
        return stack(trace_node(graph, name, kind) if self._tracer else None, service=service)

    def logged(self, log: PayloadLog, graph: str, node: str = "", step: str = "") -> Layer:
        """What is logged of a graph or of a step."""
        queue = self._lease.queue(log.sink, self._config.payload_log.sinks[log.sink].spool)
        recorder = Recorder(log, graph, node, step)
        put = partial(queue.put_unfinished, recorder.redact) if log.redact else queue.put
        return payload(put, recorder, log.mode, sampling(log))

    def _call(
        self,
        name: str,
        backend: Backend,
        graph: schema.Graph,
        address: Address | bytes,
        service: Service,
        *,
        streams: bool = False,
    ) -> Service:
        """A call of ``service`` at ``address``; bytes: with the client's own method and target, and these before it."""
        server = self._config.server
        ranked = backend.batch is not None and backend.batch.priority_levels > 1
        allowed, added = rules(
            graph.compat, server.headers, graph.headers, backend.headers, also=PRIORITY if ranked else frozenset()
        )
        kserve = graph.compat == "kserve"
        exact = not isinstance(address, bytes)  # else the calls may be of all kinds, quick ones and slow ones
        by = backend.load_balancer.consistent_hash
        # A call that may have to wait for an endpoint has its time limits from when it gets one (upstream/backend.py).
        patience = inf if backend.queues and not kserve else backend.timeouts.request or inf
        return stack(
            observe_backend(self._registry, name, records=self._access is not None),
            affinity(by) if by else None,
            apart(backend.batch.vary_headers) if backend.batch else None,
            forward(
                allowed,
                added,
                address,
                patience,
                tell_time=not kserve,
                streams=streams,
                traced=self._tracer is not None,
                pace=self._paces(name, address) if exact and _minds_time(backend, kserve) else None,
            ),
            withhold(allowed) if self._tracer else None,
            forwarded(server.trusted_proxies) if allowed[b"x-forwarded-for"] and not kserve else None,
            ContentTypeJson if kserve else None,
            self._batch(name, backend, (kserve, *dict(added))),
            *self._again(name, backend, kserve),
            fault(backend.fault, self._registry, name) if backend.fault else None,
            service=service,
        )

    def _batch(self, name: str, backend: Backend, place: Hashable) -> Layer | None:
        """What makes one call of several. Outside ``_again``: a batch is retried as one.

        What stands behind is the same in all graphs but for ``place``: their requests share calls.
        """
        policy = backend.batch
        if policy is None:
            return None
        if name not in self._batchers:
            self._batchers[name] = batcher(
                self._registry, name, policy, self._workers, self._lease.learnt(name, backend)
            )
        format = format_of(backend.protocol, policy.rows_path, policy.predictions_path)
        urgency = priorities(policy, in_body=backend.protocol == "v2")
        return batch(self._batchers[name], format, policy.max_batch_size, place, urgency)

    def _again(self, name: str, backend: Backend, kserve: bool) -> tuple[Layer | None, ...]:
        """What makes a call more than once. KServe's router does nothing of the kind unless told so."""
        if not _minds_time(backend, kserve):
            return ()
        if name not in self._patience:
            clock = asyncio.get_running_loop().time
            second = hedge_budget(backend.hedge) if backend.hedge else None
            self._patience[name] = retry_budget(backend.retry, self._workers), second, Latency(clock)
        first, second, calls = self._patience[name]
        again, idempotent = backend.retry, backend.retry.idempotent
        if backend.queues:  # the time of an attempt begins when it is sent, too
            again = structs.replace(again, per_try_timeout=0.0)
        return (
            retry(self._registry, name, again, first),
            hedge(self._registry, name, backend.hedge, calls, second, idempotent) if backend.hedge and second else None,
        )

    # What calls go through, by name or url.

    def named(self, name: str, graph: schema.Graph, verb: str = "", *, streams: bool = False) -> Built:
        """A configured backend, called as its protocol says; ``verb``: explain or metadata instead of inference.

        ``streams``: nobody reads its answer but the client, so it may come as a stream.
        """
        backend = self.backends[name]
        if verb:  # what is explained is not explained row by row
            backend = structs.replace(backend, batch=None)
        url = backend.urls[0]
        return self._built(name, url, backend, graph, _address(name, backend, split(url)[1], verb), streams)

    def url(self, url: str, graph: schema.Graph, *, streams: bool = False) -> Built:
        """A ``serviceUrl``: called with POST, exactly there; ``streams`` as above."""
        kserve = graph.compat == "kserve"
        if kserve and (refused := refusal(url)) is not None:
            action, cause = refused
            return BadUrl(url, cause, action), _never
        try:
            origin, target = split(url)
        except ValueError as error:  # a port beyond 65535
            return BadUrl(url, str(error)), _never
        timeouts = schema.BackendTimeouts(request=graph.service_timeout or (0.0 if kserve else 30.0))
        backend = Backend(url=url, protocol="raw", timeouts=timeouts)
        path = quote(target if target.startswith("/") else f"/{target}", safe=AS_IT_IS).encode()
        return self._built(str(origin), url, backend, graph, (b"POST", path), streams)

    def _built(
        self, name: str, url: str, backend: Backend, graph: schema.Graph, address: Address | bytes, streams: bool
    ) -> Built:
        kserve = graph.compat == "kserve"
        service, needs = self._ways.to(name, backend, kserve)
        if not kserve:
            return self._call(name, backend, graph, address, service, streams=streams), needs
        added = rules(graph.compat, self._config.server.headers, graph.headers, backend.headers)[1]
        going, needs = self._ways.anywhere(name, url, backend, frozenset(dict(added)), (service, needs))
        return CallService(url, self._call(name, backend, graph, address, going)), needs


async def _never() -> bool:
    return False


def _minds_time(backend: Backend, kserve: bool) -> bool:
    """KServe's router makes each call once, whatever time is left, unless somebody asks for more."""
    return not kserve or backend.retry != Retry() or backend.hedge is not None


def _address(name: str, backend: Backend, prefix: str, verb: str) -> Address | bytes:
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
