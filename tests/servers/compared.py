"""The same requests, one by one to the server itself, and all at once to a gateway that batches before it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.config.backend import Backend, HeaderRules
from gateway.config.batch import Batch
from gateway.config.schema import Config, Graph, Node, Step
from tests.formats.servers import loads
from tests.support.counted import observed, total
from tests.support.loopback import Answer, Port, Running, serving

from .asked import Asked

JSON_LENGTH = "inference-header-content-length"
UNLIKE = frozenset(("x-request-id", "ce-id", "ce-requestid", "vary", JSON_LENGTH))
"""Headers that differ from call to call, or with the size of an answer."""

DEFAULT = Batch()
PATIENT = Batch(linger="fixed", max_delay=0.1)
"""For clients that take their time to send what is to go together."""

PLACE = re.compile(rb", line \d+")
"""In a traceback, which Triton answers with: two calls may fail on their way through different lines."""


@asynccontextmanager
async def batching(server: Port, batch: Batch = DEFAULT, /, **models: str) -> AsyncIterator[Running]:
    """A gateway with a graph for each of the models, whose protocols are given."""
    url = f"http://127.0.0.1:{server.number}"
    headers = HeaderRules(propagate=("^accept$", "^accept-encoding$"))
    backends = {
        name: Backend(url=url, protocol=protocol, batch=batch, headers=headers) for name, protocol in models.items()
    }
    graphs = {
        name: Graph(nodes={"root": Node(router_type="Sequence", steps=(Step(backend=name, dependency="Hard"),))})
        for name in models
    }
    async with serving(Config(backends=backends, graphs=graphs)) as gateway:
        yield gateway


async def same(server: Port, gateway: Running, asked: Sequence[Asked]) -> list[Answer]:
    """The answers by way of the gateway, which are those of the server, bit by bit."""
    alone = [await server.post(one.target, one.body, *one.headers) for one in asked]
    merged = await asyncio.gather(*(gateway.post(one.target, one.body, *one.headers) for one in asked))
    for one, expected, answer in zip(asked, alone, merged, strict=True):
        assert content(answer, one.named) == content(expected, one.named)
    return merged


def content(answer: Answer, named: bool) -> tuple[Any, ...]:
    """What must be the same: status, headers, the document with its numbers as they are written, and binary data.

    An id that nobody gave is none.
    """
    headers = sorted(field for field in answer.headers if field[0] not in UNLIKE)
    length = answer.header(JSON_LENGTH)
    end = len(answer.body) if length is None else int(length)
    return answer.status, headers, _document(answer.body[:end], named), answer.body[end:]


def _document(text: bytes, named: bool) -> Any:
    try:
        document = loads(PLACE.sub(b"", text))
    except ValueError:
        return text
    if isinstance(document, dict) and not named:
        document.pop("id", None)
    return document


def batches(gateway: Running) -> tuple[float, float]:
    """The calls that were made of batches, and the requests in them."""
    return observed(gateway.registry, "gateway_batch_requests")


def check_shared(gateway: Running, asked: int) -> None:
    """All requests were batched, none failed, and at least two shared a call on average."""
    calls, requests = batches(gateway)
    assert requests == asked
    assert calls <= asked / 2
    for name in ("bypassed", "mismatches", "isolations"):
        assert total(gateway.registry, f"gateway_batch_{name}_total") == 0, name
