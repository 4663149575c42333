"""The contestants in Python: this gateway, the ordinary aiohttp proxy, and the barest forwarder there can be."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from .base import Peer

HERE = Path(__file__).parent

CONFIG = """\
server:
  listen: 127.0.0.1:{port}
  workers: 1
  drain: {{delay: 0s, timeout: 1s}}
admin: {{listen: "unix:{directory}/admin.sock"}}
backends:
{backends}
graphs:
  iris:
    nodes:
      root:
        routerType: Splitter
        steps:
{steps}
"""


class Gateway(Peer):
    name = "gateway"
    program = sys.executable

    @classmethod
    def version(cls) -> str:
        return f"{importlib.metadata.version('inference-gateway')} {_python()}"

    def command(self) -> list[str]:
        ports = self.work.backends
        config = CONFIG.format(
            port=self.work.port,
            directory=self.work.directory,
            backends="\n".join(f"  b{port}: {{url: 'http://127.0.0.1:{port}', model: iris}}" for port, _ in ports),
            steps="\n".join(f"        - {{backend: b{port}, weight: {weight}}}" for port, weight in ports),
        )
        return [sys.executable, "-m", "gateway", "run", "-c", self.file("gateway.yaml", config)]


class Script(Peer):
    """A proxy that is one file next to this one, and takes its port and its backends as arguments."""

    program = sys.executable

    @classmethod
    def version(cls) -> str:
        return _python()

    def command(self) -> list[str]:
        backends = [f"{port}={weight}" for port, weight in self.work.backends]
        return [sys.executable, str(HERE / f"{self.name}.py"), str(self.work.port), *backends]


class AiohttpProxy(Script):
    name = "aiohttp_proxy"

    @classmethod
    def version(cls) -> str:
        return f"aiohttp {importlib.metadata.version('aiohttp')} {_python()}"


class Floor(Script):
    name = "floor"


def _python() -> str:
    return f"(Python {sys.version.split()[0]}, uvloop {importlib.metadata.version('uvloop')})"
