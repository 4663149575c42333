from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.http.origin import Origin, split
from gateway.telemetry.metrics import Registry, read
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.names import MOST, PATIENCE, Found, Lookup, Names
from tests.support.clock import virtual
from tests.support.service import MockService

NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
Answer = list[str] | Exception


class Resolver:
    """Answers look-ups with what stands in ``zone``, after ``delay`` seconds; keeps what was asked, and when."""

    def __init__(self, **zone: Answer) -> None:
        self.zone = zone
        self.delay = 0.0
        self.asked: list[tuple[str, float]] = []

    async def __call__(self, host: str, port: int, /, *, type: int, flags: int) -> Found:
        assert (port, type, flags) == (0, socket.SOCK_STREAM, socket.AI_ADDRCONFIG)
        self.asked.append((host, asyncio.get_running_loop().time()))
        await asyncio.sleep(self.delay)
        found = self.zone[host]
        if isinstance(found, Exception):
            raise found
        return [_info(address) for address in found]

    def times(self, host: str) -> list[float]:
        return [round(when, 6) for name, when in self.asked if name == host]


def _info(address: str) -> tuple[int, int, int, str, tuple[object, ...]]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)


class Backend:
    """What came of some URLs. With a chance of 0.5 nothing is random."""

    def __init__(self, resolver: Lookup, *urls: str, chance: float = 0.5) -> None:
        self.log: list[str] = []
        self.endpoints: list[Endpoint] = []
        self.registry = Registry.private()
        self.names = Names(
            "iris",
            [split(url)[0] for url in urls],
            self._make,
            lambda endpoint: self.log.append(f"drop {endpoint}"),
            self._replace,
            self.registry,
            lookup=resolver,
            chance=lambda: chance,
        )

    def _make(self, origin: Origin, address: str) -> Endpoint:
        endpoint = Endpoint(origin, MockService(), address)
        self.log.append(f"make {endpoint}")
        return endpoint

    def _replace(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints
        self.log.append(f"replace {len(endpoints)}")

    @property
    def shown(self) -> list[str]:
        return [str(endpoint) for endpoint in self.endpoints]

    @property
    def failures(self) -> float:
        ((labels, value),) = [(series.labels, cells[0]) for series, cells in read(self.registry.segment)]
        assert labels == ("iris",)
        return value


@virtual
async def test_an_address_or_a_socket_is_not_looked_up() -> None:
    resolver = Resolver(localhost=["127.0.0.1"])
    urls = ("http://127.0.0.1:1", "http://[::1]:2", "https://10.0.0.1", "unix:/run/m.sock")
    backend = Backend(resolver, *urls)
    await backend.names.start()
    assert backend.shown == list(urls)
    assert all(endpoint.address == "" for endpoint in backend.endpoints)
    await asyncio.sleep(100.0)
    assert resolver.asked == []
    assert backend.log[-1] == "replace 4"


@virtual
async def test_neither_a_socket_nor_this_machine_is_looked_up() -> None:
    backend = Backend(Resolver(localhost=["127.0.0.1", "::1"]), "unix:/run/m.sock", "http://localhost:1")
    await backend.names.start()
    assert backend.shown == ["unix:/run/m.sock", "http://localhost:1"]


@virtual
async def test_every_address_is_an_endpoint_in_an_order_that_stays() -> None:
    resolver = Resolver(model=["fd00::2", "10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2"])
    backend = Backend(resolver, "http://model:1")
    await backend.names.start()
    assert [endpoint.address for endpoint in backend.endpoints] == ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"]
    resolver.zone["model"] = ["10.0.0.2", "10.0.0.1", "fd00::1", "fd00::2"]
    log = list(backend.log)
    await asyncio.sleep(100.0)
    assert backend.log == log


@virtual
async def test_a_name_is_looked_up_once_for_all_its_ports_and_each_url_counts_once() -> None:
    resolver = Resolver(a=["10.0.0.1"], b=["10.0.0.1"])
    backend = Backend(resolver, "http://a:1", "http://a:2", "http://b:1", "http://a:1")
    await backend.names.start()
    assert backend.shown == ["http://a:1 (10.0.0.1)", "http://a:2 (10.0.0.1)", "http://b:1 (10.0.0.1)"]
    assert resolver.asked == [("a", 0.0), ("b", 0.0)]
    log = list(backend.log)
    await asyncio.sleep(100.0)
    assert backend.log == log


@virtual
@pytest.mark.parametrize(("chance", "times"), [(0.0, [0.0, 27.0, 54.0]), (0.75, [0.0, 31.5, 63.0])])
async def test_names_are_looked_up_again(chance: float, times: list[float]) -> None:
    resolver = Resolver(model=["10.0.0.1"])
    backend = Backend(resolver, "http://model:1", chance=chance)
    await backend.names.start()
    await asyncio.sleep(80.0)
    assert resolver.times("model") == times


@virtual
async def test_what_stays_keeps_its_endpoint_and_what_goes_is_dropped_last() -> None:
    resolver = Resolver(model=["10.0.0.1", "10.0.0.2"])
    backend = Backend(resolver, "http://model:1")
    await backend.names.start()
    staying = backend.endpoints[1]
    staying.ejected = True
    backend.log.clear()
    resolver.zone["model"] = ["10.0.0.2", "10.0.0.3"]
    await asyncio.sleep(31.0)
    assert backend.endpoints[0] is staying
    assert staying.ejected
    assert backend.log == ["make http://model:1 (10.0.0.3)", "replace 2", "drop http://model:1 (10.0.0.1)"]


@virtual
@pytest.mark.parametrize("failure", [NO_NAME, OSError("broken"), UnicodeError("label too long"), []])
async def test_a_failure_keeps_the_last_answer(failure: Answer) -> None:
    resolver = Resolver(model=["10.0.0.1"])
    backend = Backend(resolver, "http://model:1")
    await backend.names.start()
    assert backend.failures == 0.0
    resolver.zone["model"] = failure
    await asyncio.sleep(61.0)
    assert (backend.shown, backend.failures) == (["http://model:1 (10.0.0.1)"], 2.0)
    resolver.zone["model"] = ["10.0.0.9"]
    await asyncio.sleep(30.0)
    assert (backend.shown, backend.failures) == (["http://model:1 (10.0.0.9)"], 2.0)


@virtual
async def test_a_failure_is_logged_at_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    resolver = Resolver(model=["10.0.0.1"], other=NO_NAME)
    backend = Backend(resolver, "http://model:1", "http://other:1")
    await backend.names.start()
    resolver.zone["model"] = []
    await asyncio.sleep(30.5)
    assert caplog.messages == [
        "backend iris: addresses of other: Name or service not known; it has had none yet",
        "backend iris: addresses of model: no address; its last 1 stay in use",
    ]
    await asyncio.sleep(100.0)
    lines = [(record.levelname, record.getMessage().split(":")[1]) for record in caplog.records]
    assert lines.count(("WARNING", " addresses of model")) == 2
    assert lines.count(("WARNING", " addresses of other")) == 3


@virtual
async def test_a_name_without_any_address_yet_is_asked_for_every_second() -> None:
    resolver = Resolver(model=NO_NAME)
    backend = Backend(resolver, "http://model:1", "http://10.0.0.1:1")
    await backend.names.start()
    assert backend.shown == ["http://10.0.0.1:1"]
    await asyncio.sleep(2.5)
    resolver.zone["model"] = ["10.0.0.1"]
    await asyncio.sleep(1.0)
    assert backend.shown == ["http://model:1 (10.0.0.1)", "http://10.0.0.1:1"]
    await asyncio.sleep(35.0)
    assert resolver.times("model") == [0.0, 1.0, 2.0, 3.0, 33.0]


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual
@pytest.mark.parametrize(
    ("delay", "waited", "there"), [(0.0, 0.0, True), (1.5, 1.5, True), (PATIENCE + 1.0, PATIENCE, False)]
)
async def test_the_start_waits_for_the_first_answers_but_not_long(delay: float, waited: float, there: bool) -> None:
    resolver = Resolver(model=["10.0.0.1"], gone=NO_NAME)
    resolver.delay = delay
    backend = Backend(resolver, "http://model:1", "http://gone:1")
    await backend.names.start()
    assert (now(), bool(backend.endpoints)) == (waited, there)
    await asyncio.sleep(5.0)
    assert backend.shown == ["http://model:1 (10.0.0.1)"]


@virtual
async def test_a_name_in_doubt_is_looked_up_soon_but_once_a_second_at_most() -> None:
    resolver = Resolver(model=["10.0.0.1"])
    backend = Backend(resolver, "http://model:1", "http://10.0.0.9:1")
    await backend.names.start()
    await asyncio.sleep(0.3)
    backend.names.doubt("model")
    backend.names.doubt("10.0.0.9")
    await asyncio.sleep(5.0)
    resolver.zone["model"] = ["10.0.0.2"]
    backend.names.doubt("model")
    await asyncio.sleep(0.1)
    assert backend.shown == ["http://model:1 (10.0.0.2)", "http://10.0.0.9:1"]
    await asyncio.sleep(50.0)
    assert resolver.times("model") == [0.0, 1.0, 5.3, 35.3]


@virtual
async def test_not_too_many_addresses(caplog: pytest.LogCaptureFixture) -> None:
    many = [f"10.0.{at >> 8}.{at & 255}" for at in range(MOST + 1)]
    backend = Backend(Resolver(model=many, fine=many[:MOST]), "http://model:1", "http://fine:1")
    await backend.names.start()
    assert len(backend.endpoints) == 2 * MOST
    assert caplog.messages == ["backend iris: addresses of model: 257 addresses, of which 256 are used"]


@virtual
@pytest.mark.parametrize("delay", [0.0, 1000.0])
async def test_the_end_drops_all_and_looks_no_more(delay: float) -> None:
    resolver = Resolver(model=["10.0.0.1"])
    resolver.delay = delay
    backend = Backend(resolver, "http://model:1", "http://10.0.0.9:1")
    await backend.names.start()
    shown = backend.shown
    backend.log.clear()
    backend.names.close()
    assert backend.log == [f"drop {endpoint}" for endpoint in shown]
    await asyncio.sleep(5000.0)
    assert len(resolver.asked) == 1
    assert len(backend.log) == len(shown)


@virtual
async def test_repr_tells_the_endpoints() -> None:
    backend = Backend(Resolver(model=["10.0.0.1"]), "http://model:1")
    await backend.names.start()
    assert repr(backend.names) == "<Names iris ['http://model:1 (10.0.0.1)']>"


async def test_a_loops_own_lookup_fits() -> None:
    loop = asyncio.get_running_loop()
    backend = Backend(lambda _, port, **how: loop.getaddrinfo("localhost", port, **how), "http://model:1")
    await backend.names.start()
    backend.names.close()
    assert backend.endpoints, "localhost has an address without any network"
    assert {endpoint.address for endpoint in backend.endpoints} <= {"127.0.0.1", "::1"}
