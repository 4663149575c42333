"""A collector of traces: a real OTLP/HTTP receiver that decodes what it gets."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

PATIENCE = 20.0
KINDS = {1: "internal", 2: "server", 3: "client"}
ERROR = 2

Value = str | int | bool


class Received(NamedTuple):
    """One span; ids in hexadecimal digits."""

    name: str
    kind: str
    trace_id: str
    id: str
    parent: str
    attributes: dict[str, Value]
    error: bool
    message: str
    start: int
    end: int
    state: str
    links: list[str]
    resource: dict[str, Value]


class Collector:
    """Keeps every span; ``status``: what it answers, or 0 for nothing at all."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.url = ""
        self.spans: list[Received] = []
        self._asked = asyncio.Event()
        self._came = asyncio.Condition()

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        assert (request.path, request.content_type) == ("/v1/traces", "application/x-protobuf")
        self._asked.set()
        if not self.status:
            await asyncio.get_running_loop().create_future()
        async with self._came:
            if self.status == 200:
                self.spans += received(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
            self._came.notify_all()
        return web.Response(status=self.status, content_type="application/x-protobuf")

    async def has(self, count: int) -> list[Received]:
        """The spans, as soon as there are so many."""
        async with asyncio.timeout(PATIENCE), self._came:
            await self._came.wait_for(lambda: len(self.spans) >= count)
        return self.spans

    async def was_asked(self) -> None:
        """Wait until somebody has sent it something."""
        async with asyncio.timeout(PATIENCE):
            await self._asked.wait()

    def named(self, name: str) -> list[Received]:
        """Those of that name, in the order in which they began."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start)


def received(body: bytes) -> list[Received]:
    """The spans of a body."""
    message = ExportTraceServiceRequest.FromString(body)
    return [
        Received(
            span.name,
            KINDS[span.kind],
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            _plain(list(span.attributes)),
            span.status.code == ERROR,
            span.status.message,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.trace_state,
            [f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links],
            _plain(list(resource.resource.attributes)),
        )
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: list[KeyValue]) -> dict[str, Value]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}


@asynccontextmanager
async def collector(status: int = 200) -> AsyncIterator[Collector]:
    """One that listens."""
    here = Collector(status)
    runner = web.ServerRunner(web.Server(here, handler_cancellation=True), access_log=None, shutdown_timeout=0.01)  # type: ignore[arg-type]
    await runner.setup()
    site = web.SockSite(runner, socket.create_server(("127.0.0.1", 0)))
    await site.start()
    here.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield here
    finally:
        await runner.cleanup()
