"""``gateway run`` as a user runs it, found by what it logs; and a model server to put behind it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

PATIENCE = 30.0


class RunningGateway:
    """A gateway process; ``data`` and ``admin`` are its URLs, ``log`` the lines it has written."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log: list[str] = []
        self._silent = False
        self._logged = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            async with self._logged:
                self.log.append(line.decode().rstrip("\n"))
                self._logged.notify_all()
        async with self._logged:
            self._silent = True
            self._logged.notify_all()

    async def logs(self, text: str, times: int = 1) -> str:
        """The line, or the last of several, that contains ``text``; an error if the log ends first."""
        async with asyncio.timeout(PATIENCE), self._logged:
            await self._logged.wait_for(lambda: self._silent or len(self._lines(text)) >= times)
        assert len(self._lines(text)) >= times, self.log
        return self._lines(text)[times - 1]

    def _lines(self, text: str) -> list[str]:
        return [line for line in self.log if text in line]

    async def up(self) -> None:
        """Wait until it serves."""
        self.data = "http://" + (await self.logs(" listening on ")).rpartition(" ")[2]
        self.admin = "http://" + (await self.logs(" admin site on ")).rpartition(" ")[2]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    async def reload(self) -> None:
        """SIGHUP, and wait until it has worked."""
        times = len(self._lines(" reloaded "))
        self.signal(signal.SIGHUP)
        await self.logs(" reloaded ", times + 1)

    def workers(self) -> list[int]:
        """The process ids of its children."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for file in children for pid in file.read_text().split()]

    async def metric(self, name: str) -> float:
        """The sum of the samples whose name and labels begin with ``name``."""
        async with aiohttp.request("GET", f"{self.admin}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    async def close(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            for _ in range(2):
                self.signal(signal.SIGTERM)
        await self.ended()
        await self._reading


async def start(*arguments: str, **environ: str) -> RunningGateway:
    """Start it, with these variables in its environment too; ``up()`` waits until it serves."""
    command = (sys.executable, "-m", "gateway", "run", *arguments)
    return RunningGateway(
        await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environ})
    )


Start = Callable[..., Awaitable[RunningGateway]]
"""``start``, and the gateway is ended with the test."""

Serve = Callable[..., Awaitable[RunningGateway]]
"""Starts a gateway with the given text as its file, and more variables, and waits until it serves."""


class Model:
    """A model server of protocol v1: it answers with its name, at once or, to ``{"hold": true}``, when released."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self._held = asyncio.Event()
        self.release = asyncio.Event()
        app = web.Application()
        app.router.add_get("/v1/models/{model}", self._ready)
        app.router.add_post("/v1/models/{model}:predict", self._predict)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def holds(self) -> None:
        """Wait until it holds a request."""
        async with asyncio.timeout(PATIENCE):
            await self._held.wait()

    async def _ready(self, request: web.Request) -> web.Response:
        return web.json_response({"name": self.name, "ready": True})

    async def _predict(self, request: web.Request) -> web.Response:
        self.calls += 1
        if (await request.json()).get("hold"):
            self._held.set()
            await self.release.wait()
        return web.json_response({"predictions": [self.name]})


def write(file: Path, text: str) -> None:
    """Replace the file at once, as an editor or Kubernetes does: nobody ever reads half of it."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(file)


def configuration(url: str, *, drain: str = "{delay: 0s, timeout: 30s}", workers: int = 2) -> str:
    """One graph, ``m``, in front of the model server at ``url``."""
    return f"""
server: {{listen: "127.0.0.1:0", workers: {workers}, drain: {drain}}}
admin: {{listen: "127.0.0.1:0"}}
backends:
  m: {{url: "{url}"}}
graphs:
  m: {{nodes: {{root: {{routerType: Sequence, steps: [{{backend: m}}]}}}}}}
"""


async def predict(data: str, *, hold: bool = False) -> tuple[int, str]:
    """Status and answer of a prediction on a new connection; the answer is the model server's name."""
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True), timeout=aiohttp.ClientTimeout(PATIENCE)
        ) as session,
        session.post(f"{data}/v1/models/m:predict", json={"instances": [], "hold": hold}) as answer,
    ):
        return answer.status, (await answer.json()).get("predictions", [""])[0]
