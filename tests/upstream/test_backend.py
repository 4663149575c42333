from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.config.backend import Backend
from gateway.errors import UpstreamConnectFailure
from gateway.http.origin import Origin, split
from gateway.message import Request, Response
from gateway.telemetry.metrics import Registry
from gateway.upstream.backend import Upstream
from tests.support.clock import virtual


class Place:
    """The connections to an address, at which somebody is or not."""

    connect_timeout = 0.0
    max_connections = 0

    def __init__(self, there: bool) -> None:
        self.there = there

    async def __call__(self, request: Request, /) -> Response:
        if not self.there:
            raise UpstreamConnectFailure("nobody is there")
        return Response(200, [], b"hello")

    async def reach(self) -> bool:
        return self.there


@virtual
async def test_who_comes_up_at_another_address_is_found_long_before_the_next_regular_look_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = ["10.0.0.1"]

    async def lookup(host: str, port: int, *, type: int, flags: int) -> list[object]:
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in addresses]

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", lookup)
    config = Backend(url="http://model:1", hold=60.0)

    def connect(origin: Origin, address: str) -> Place:
        return Place(address == "10.0.0.2")

    upstream = Upstream("m", [split("http://model:1")[0]], connect, lambda *_: None, Registry.private(), 1)
    upstream.configure(config)
    await upstream.open()
    waiting = asyncio.create_task(upstream.cluster.call(Request(b"POST", b"/", []), []))
    await asyncio.sleep(5.0)
    assert not waiting.done()
    addresses[:] = ["10.0.0.2"]
    assert (await waiting).body == b"hello"
    assert loop.time() < 8.0
    upstream.close()
