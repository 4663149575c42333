from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import unused_port

from gateway.errors import UpstreamReset
from gateway.graph.kserve.sidecar import Mesh, Sidecar
from tests.support.service import MockService, ask


class Admin:
    """What listens on the sidecar's port."""

    def __init__(self, reply: bytes | None) -> None:
        self.asked: list[bytes] = []
        self.port = 0
        self._reply = reply

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        if self._reply is not None:
            writer.write(self._reply)
            writer.close()
        else:
            await reader.read()
            writer.close()


@asynccontextmanager
async def admin(reply: bytes | None) -> AsyncIterator[Admin]:
    site = Admin(reply)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


@pytest.mark.parametrize(
    ("reply", "here"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 200 \r\n\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH 200 \r\n", False),
        (b"", False),
        (b"x" * 100_000, False),
    ],
)
async def test_only_a_200_is_a_sidecar_and_it_is_asked_once(reply: bytes, here: bool) -> None:
    async with admin(reply) as site:
        mesh = Mesh(site.port)
        assert await asyncio.gather(mesh.here(), mesh.here()) == [here, here]
        assert await mesh.here() is here
        assert [asked.split(b"\r\n")[0] for asked in site.asked] == [b"GET / HTTP/1.1"]


async def test_where_nothing_listens() -> None:
    assert await Mesh(unused_port()).here() is False


async def test_one_that_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.graph.kserve.sidecar._PATIENCE", 0.02)
    async with admin(None) as site:
        assert await Mesh(site.port).here() is False


async def test_who_leaves_while_it_is_asked_takes_nobody_along() -> None:
    async with admin(b"HTTP/1.1 200 OK\r\n\r\n") as site:
        mesh = Mesh(site.port)
        leaving, staying = asyncio.create_task(mesh.here()), asyncio.create_task(mesh.here())
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying is True


@pytest.mark.parametrize("here", [True, False])
async def test_which_way_a_call_goes(here: bool) -> None:
    reply = b"HTTP/1.1 200 OK\r\n\r\n" if here else b"HTTP/1.1 503 No\r\n\r\n"
    async with admin(reply) as site:
        plain, encrypted = MockService().answers(b"plain"), MockService().answers(b"encrypted")
        sidecar = Sidecar(Mesh(site.port), (encrypted, no), (plain, yes), "http://m/x")
        assert (await sidecar(ask())).body == (b"plain" if here else b"encrypted")
        assert await sidecar.reachable() is here


async def test_a_failure_in_the_mesh_knows_what_was_called() -> None:
    async with admin(b"HTTP/1.1 200 OK\r\n\r\n") as site:
        mesh = Mesh(site.port)
        elsewhere = UpstreamReset("gone")
        elsewhere.url = "http://other/"
        service = MockService().fails(UpstreamReset("gone")).fails(elsewhere)
        for url in ("http://m/x", "http://other/"):
            with pytest.raises(UpstreamReset) as caught:
                await Sidecar(mesh, (service, no), (service, yes), "http://m/x")(ask())
            assert caught.value.url == url
