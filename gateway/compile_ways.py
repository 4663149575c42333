"""Where calls go: the endpoints of a backend, or wherever KServe's router would follow a redirect to."""

from __future__ import annotations

from math import inf

from .config.backend import Backend, LoadBalancer
from .graph.kserve import Redirects, Sidecar
from .graph.kserve.sidecar import Mesh, Way
from .http.origin import Origin, split
from .leases import Lease
from .service import Service, stack
from .telemetry.metrics import Registry
from .upstream.line import always_there
from .upstream.names import is_name


class Ways:
    """Leases what it finds; ``mesh`` says whether a sidecar encrypts for us."""

    def __init__(self, lease: Lease, registry: Registry, mesh: Mesh) -> None:
        self._lease = lease
        self._registry = registry
        self._mesh = mesh

    def to(self, name: str, backend: Backend, kserve: bool) -> Way:
        """The endpoints of a backend; where there is one, and nothing to be known of it, its pool."""
        origins = tuple(split(url)[0] for url in backend.urls)
        if not _plain(backend) or len(origins) > 1 or (is_name(origins[0]) and not kserve):
            cluster = self._lease.upstream(name, backend, origins).cluster
            return cluster, cluster.ready
        always_there(self._registry, name)
        return self._pool(name, origins[0], backend)

    def _pool(self, name: str, origin: Origin, backend: Backend) -> Way:
        pool = self._lease.pool(name, origin, backend.tls, backend.timeouts.connect)
        pool.first_byte = backend.timeouts.first_byte
        pool.silence = backend.timeouts.idle or inf
        return stack(self._lease.around(name, origin), service=pool), pool.reachable

    def anywhere(self, name: str, url: str, backend: Backend, private: frozenset[bytes], way: Way) -> Way:
        """As Go's client in KServe's router does: wherever it is redirected, and in a mesh without TLS of its own."""
        origin = split(url)[0]

        def elsewhere(origin: Origin) -> Service:
            pool = self._lease.visit(name, origin, backend.timeouts.connect)
            return stack(self._lease.around(name, origin), service=pool)

        redirected: Way = Redirects(origin, way[0], elsewhere, private), way[1]
        if not origin.tls:
            return redirected
        plain = f"http{url[5:]}"
        inside = self.anywhere(name, plain, backend, private, self._pool(name, split(plain)[0], backend))
        sidecar = Sidecar(self._mesh, redirected, inside, plain)
        return sidecar, sidecar.reachable


def _plain(backend: Backend) -> bool:
    """Whether nothing is asked for that needs more than connections."""
    cares = (backend.health_check, backend.outlier_detection, backend.circuit_breaker, backend.concurrency)
    return not any(cares) and not backend.hold and backend.load_balancer == LoadBalancer()
