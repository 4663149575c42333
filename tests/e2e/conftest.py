"""Two model servers, and gateways to put in front of them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.running import Model, RunningGateway, Serve, Start, start, write


@pytest.fixture
async def models() -> AsyncIterator[tuple[Model, Model]]:
    pair = Model("one"), Model("two")
    for model in pair:
        await model.server.start_server()
    yield pair
    for model in pair:
        model.release.set()
        await model.server.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.yaml"


@pytest.fixture
async def begin() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def begin(*arguments: str, **environ: str) -> RunningGateway:
            gateway = await start(*arguments, **environ)
            stack.push_async_callback(gateway.close)
            return gateway

        yield begin


@pytest.fixture
def serve(begin: Start, file: Path) -> Serve:
    async def serve(text: str, **environ: str) -> RunningGateway:
        write(file, text)
        gateway = await begin("-c", str(file), **environ)
        await gateway.up()
        return gateway

    return serve
