from __future__ import annotations

import socket

import aiohttp

from gateway.demo import v1
from gateway.demo.models import train
from gateway.demo.servers import serving


async def test_it_takes_the_port_it_is_given_and_gives_it_back() -> None:
    port = _free_port()
    async with serving(v1.app(train()), port) as url, aiohttp.ClientSession() as client:
        assert url == f"http://127.0.0.1:{port}"
        async with client.get(url + "/v1/models") as answer:
            assert await answer.json() == {"models": ["logistic", "forest"]}
    socket.create_server(("127.0.0.1", port)).close()


async def test_where_the_port_is_taken_it_finds_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with serving(v1.app(train()), port) as url:
            assert url != f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
