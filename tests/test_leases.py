from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.backend import CircuitBreaker, Retry
from gateway.config.batch import Batch
from gateway.config.schema import Backend, BackendTls
from gateway.http.origin import Origin
from gateway.leases import VISITED, Lease, Leases
from gateway.telemetry.metrics import Registry
from tests.support.clock import virtual

A, B = Origin("127.0.0.1", 1), Origin("127.0.0.1", 2)


class Generations:
    """The leases of a worker, and one registry for all its generations."""

    def __init__(self) -> None:
        self.leases = Leases()
        self.registry = Registry.private()

    def new(self, max_body: int = 1 << 20) -> Lease:
        return Lease(self.leases, self.registry, max_body)

    @property
    def open(self) -> int:
        return len(self.leases.sweeper.pools)


@asynccontextmanager
async def generations() -> AsyncIterator[Generations]:
    made = Generations()
    yield made
    await made.leases.close()
    assert made.open == 0


@virtual
async def test_one_generation_has_one_pool_for_each_backend() -> None:
    async with generations() as made:
        lease = made.new()
        pool = lease.pool("a", A, None, 5.0)
        assert lease.pool("a", A, None, 5.0) is pool
        assert lease.pool("b", A, None, 5.0) is not pool
        assert lease.pool("a", B, None, 5.0) is not pool
        assert made.open == 3
        lease.release()
        assert made.open == 0


@virtual
async def test_what_the_next_generation_uses_too_is_never_closed() -> None:
    async with generations() as made:
        old, new = made.new(), made.new()
        kept, dropped = old.pool("a", A, None, 5.0), old.pool("b", B, None, 5.0)
        assert new.pool("a", A, None, 2.0) is kept
        assert kept.connect_timeout == 2.0
        old.release()
        assert made.leases.sweeper.pools == {kept}
        assert dropped not in made.leases.sweeper.pools
        new.release()
        assert made.open == 0


@virtual
async def test_a_generation_that_uses_a_pool_twice_gives_it_back_once() -> None:
    async with generations() as made:
        old, new = made.new(), made.new()
        for _ in range(3):
            old.pool("a", A, None, 5.0)
        new.pool("a", A, None, 5.0)
        new.release()
        assert made.open == 1
        old.release()
        old.release()
        assert made.open == 0


@virtual
async def test_another_limit_of_bodies_makes_another_pool() -> None:
    async with generations() as made:
        assert made.new(1).pool("a", A, None, 5.0) is not made.new(2).pool("a", A, None, 5.0)


def test_a_renewed_certificate_makes_another_pool(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("")
    tls = BackendTls(ca_file=str(file))

    @virtual
    async def scenario() -> None:
        async with generations() as made:
            first = made.new().pool("a", A, tls, 5.0)
            assert made.new().pool("a", A, BackendTls(ca_file=str(file)), 5.0) is first
            os.utime(file, ns=(1, 1))
            assert made.new().pool("a", A, tls, 5.0) is not first
            assert made.new().pool("a", A, BackendTls(ca_file=str(file), server_name="x"), 5.0) is not first

    scenario()


def test_an_upstream_gives_back_what_it_took_though_its_certificate_was_renewed_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("")
    backend = Backend(url="http://127.0.0.1:1", tls=BackendTls(ca_file=str(file)))

    @virtual
    async def scenario() -> None:
        async with generations() as made:
            old, new = made.new(), made.new()
            old.upstream("a", backend, (A,))
            (first,) = made.leases.sweeper.pools
            os.utime(file, ns=(1, 1))
            new.upstream("a", backend, (A,))
            assert made.open == 2
            old.release()
            assert made.open == 1
            assert first not in made.leases.sweeper.pools
            new.release()
            assert made.open == 0

    scenario()


@virtual
async def test_a_pool_is_not_bound_by_the_limits_that_a_reload_has_taken_away() -> None:
    async with generations() as made:
        old, new = made.new(), made.new()
        old.upstream("a", Backend(url="http://127.0.0.1:1", circuit_breaker=CircuitBreaker(max_connections=1)), (A,))
        (pool,) = made.leases.sweeper.pools
        assert pool.max_connections == 1
        assert new.pool("a", A, None, 5.0) is pool
        assert pool.max_connections == 1
        new.begin()
        assert pool.max_connections == 0
        old.release()
        assert made.open == 1
        new.release()


@virtual
async def test_what_an_upstream_shares_follows_the_generation_that_serves() -> None:
    async with generations() as made:
        old, new = made.new(), made.new()
        upstream = old.upstream("a", Backend(url="http://127.0.0.1:1"), (A,))
        (pool,) = made.leases.sweeper.pools
        breaker = CircuitBreaker(max_connections=1)
        assert new.upstream("a", Backend(url="http://127.0.0.1:1", circuit_breaker=breaker), (A,)) is upstream
        assert pool.max_connections == 0
        new.begin()
        assert pool.max_connections == 1
        old.release()
        assert made.open == 1
        new.release()
        assert made.open == 0


@virtual
async def test_what_batching_has_learnt_is_kept_unless_it_is_another_backend_now() -> None:
    async with generations() as made:
        url, policy = "http://127.0.0.1:1", Batch()
        backend = Backend(url=url, batch=policy)
        old, new = made.new(), made.new()
        learnt = old.learnt("a", backend)
        assert new.learnt("a", Backend(url=url, batch=Batch(), retry=Retry(attempts=1))) is learnt
        for other in (
            Backend(url=f"{url}1", batch=policy),
            Backend(endpoints=(url, f"{url}1"), batch=policy),
            Backend(url=url, batch=Batch(max_batch_size=7)),
            Backend(url=url, batch=policy, model="m"),
        ):
            assert new.learnt("a", other) is not learnt
        assert new.learnt("b", backend) is not learnt
        old.release()
        assert made.new().learnt("a", backend) is learnt
        new.release()


@virtual
async def test_a_missing_file_is_an_error_that_leaves_nothing_leased() -> None:
    async with generations() as made:
        lease = made.new()
        with pytest.raises(FileNotFoundError):
            lease.pool("a", Origin("127.0.0.1", 1, tls=True), BackendTls(ca_file="/nowhere/ca.pem"), 5.0)
        assert lease.pools == {}
        assert made.open == 0


def test_a_file_that_is_no_certificate_is_an_error_that_leaves_nothing_leased(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")

    @virtual
    async def scenario() -> None:
        async with generations() as made:
            lease = made.new()
            with pytest.raises(OSError):  # ssl.SSLError is one
                lease.pool("a", Origin("127.0.0.1", 1, tls=True), BackendTls(ca_file=str(file)), 5.0)
            lease.release()
            assert made.open == 0
            file.unlink()

    scenario()


@virtual
async def test_where_redirects_lead_is_kept_for_the_latest_origins() -> None:
    async with generations() as made:
        lease = made.new()
        own = lease.pool("a", A, None, 5.0)
        first = lease.visit("a", Origin("h0", 80), 5.0)
        for number in range(1, VISITED):
            lease.visit("a", Origin(f"h{number}", 80), 5.0)
        assert lease.visit("a", Origin("h0", 80), 5.0) is first
        lease.visit("a", Origin("one more", 80), 5.0)
        assert made.open == VISITED + 1
        assert lease.visit("a", Origin("h0", 80), 5.0) is first
        assert own in lease.pools.values()
        lease.release()
        assert made.open == 0
