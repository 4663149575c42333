"""The clients that Triton's and KServe's makers give to their users: by way of the gateway they get what the server
itself gives them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.loopback import Port

from .compared import PATIENT, PLACE, batches, batching
from .environment import HERE, Unavailable, python

pytestmark = pytest.mark.servers


async def told(client: str, *arguments: str) -> Any:
    """What ``ask_CLIENT.py`` prints."""
    try:
        interpreter = await asyncio.to_thread(python, client)
    except Unavailable as why:
        pytest.skip(str(why))
    command = (interpreter, str(HERE / f"ask_{client}.py"), *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await process.communicate()
    assert not process.returncode, err.decode()
    return json.loads(PLACE.sub(b"", out))


@pytest.mark.parametrize(
    ("server", "arguments"),
    [
        ("triton", ("yes", "identity", "gzip", "deflate")),
        ("kserve", ("yes", "identity")),  # it reads no compressed bodies
        ("mlserver", ("no", "identity")),  # nor binary ones
    ],
    indirect=["server"],
)
async def test_tritonclient(server: Port, arguments: Sequence[str]) -> None:
    alone = await told("tritonclient", f"127.0.0.1:{server.number}", *arguments)
    async with batching(server, PATIENT, mixed="v2", roots="v2") as gateway:
        assert await told("tritonclient", f"127.0.0.1:{gateway.number}", *arguments) == alone
        calls, requests = batches(gateway)
        assert calls <= requests / 2


async def test_kserve(kserve: Port) -> None:
    alone = await told("kserve", f"http://127.0.0.1:{kserve.number}")
    async with batching(kserve, PATIENT, mixed="v2", roots="v2", rows="v1") as gateway:
        assert await told("kserve", f"http://127.0.0.1:{gateway.number}") == alone
        calls, requests = batches(gateway)
        assert calls <= requests / 2
