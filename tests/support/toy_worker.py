"""A worker process without a data plane: ``python -m tests.support.toy_worker HANDED``.

``defaultGraph`` steers it: "broken" cannot be built, "deadly" kills the worker, anything else is what it answers, after
its process id, to whoever connects; until it has answered, "held" holds a request for ever.
"""

import asyncio
import os
import socket
import ssl
import sys

import msgspec

from gateway.config.schema import Config
from gateway.config.schema import Server as ServerConfig
from gateway.control.channel import Handed, worker_end
from gateway.message import Request, Response
from gateway.telemetry import logs
from gateway.telemetry.metrics import Registry
from gateway.telemetry.segment import Segment
from gateway.worker import Parts, Worker


class ToyApp:
    def __init__(self, config: Config) -> None:
        self.graph = config.default_graph or ""
        if self.graph == "broken":
            raise ValueError("cannot be built")
        if self.graph == "deadly":
            os._exit(7)

    async def __call__(self, request: Request) -> Response:
        return Response(200, [], f"{os.getpid()} {self.graph}".encode())

    async def open(self) -> None:
        pass

    def begin(self) -> None:
        pass

    def refused(self, refusal: object) -> None:
        pass

    async def retire(self) -> None:
        pass

    def describe(self) -> list[dict[str, object]]:
        return [{"backend": "toy", "graph": self.graph}]


class ToyServer:
    def __init__(self, registry: Registry) -> None:
        self._accepted = registry.counter("gateway_connections_accepted_total")
        self._open = registry.gauge("gateway_connections")
        self._listeners: list[asyncio.Server] = []
        self._held = 0

    def configure(self, config: ServerConfig) -> None:
        pass

    async def start(self, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        self._listeners = [await asyncio.start_server(self._client, sock=sock) for sock in sockets]

    async def drain(self, timeout: float) -> bool:
        for listener in self._listeners:
            listener.close()
        if self._held:
            await asyncio.sleep(timeout)
        return not self._held

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted.add()
        self._open.add()
        answer = await self.app(Request(b"GET", b"/", []))
        if answer.body.endswith(b" held"):
            self._held += 1
            writer.write(answer.body + b"\n")
            await reader.read()
        writer.write(answer.body)
        writer.close()
        self._open.add(-1)


class ToyReadiness:
    ready = True

    def hand_on(self) -> None:
        pass


async def serve(handed: Handed) -> None:
    registry = Registry(Segment.attach(handed.segment))
    server = ToyServer(registry)
    parts = Parts(ToyApp, lambda config: server, lambda tls: ssl.create_default_context(), ToyReadiness())
    channel = await worker_end(socket.socket(fileno=handed.channel))
    await Worker(channel, [socket.socket(fileno=one) for one in handed.sockets], parts).run()


if __name__ == "__main__":
    handed = msgspec.json.decode(sys.argv[1], type=Handed)
    logs.start(handed.log_level, worker=handed.slot)
    asyncio.run(serve(handed))
