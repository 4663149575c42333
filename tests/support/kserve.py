"""KServe's router in this process: the specs that it is given, and what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson

from gateway.config.kserve import from_graph_json
from tests.support.loopback import Answer, Reply, Running, Stub, serving, stub

Json = dict[str, Any]


def node(kind: str, *steps: Json) -> Json:
    return {"routerType": kind, "steps": list(steps)}


def spec(nodes: Json, **rest: Any) -> str:
    """What KServe's controller hands over, with what the router ignores."""
    return orjson.dumps({"nodes": nodes, "resources": {}, **rest}).decode()


@asynccontextmanager
async def router(
    environ: Mapping[str, str] | None = None, timeouts: Json | None = None, **nodes: Json
) -> AsyncIterator[Running]:
    rest = {} if timeouts is None else {"routerTimeouts": timeouts}
    async with serving(from_graph_json(spec(nodes, **rest), environ or {})) as gateway:
        yield gateway


@asynccontextmanager
async def models(*replies: Reply) -> AsyncIterator[list[Stub]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(stub(reply)) for reply in replies]


def failed(answer: Answer, cause: str, code: int = 500) -> None:
    """It is the router's error with that cause."""
    assert (answer.status, answer.json) == (code, {"error": "Failed to process request", "cause": cause})
    assert answer.header("content-type") == "application/json"
    assert list(answer.json) == ["error", "cause"]
    assert not answer.body.endswith(b"\n")
