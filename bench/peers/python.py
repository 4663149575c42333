"""The contestants in Python: this gateway, the ordinary aiohttp proxy, and the barest forwarder there can be."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import yaml
from processes import output

from .base import Peer

HERE = Path(__file__).parent

OPENSSL = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
ONE_DAY = ["-days", "1", "-subj", "/CN=localhost"]


class Gateway(Peer):
    name = "gateway"
    program = sys.executable
    path = "gateway.worker"

    @property
    def url(self) -> str:
        return f"http{'s' if self.work.setup.tls else ''}://127.0.0.1:{self.work.port}"

    @classmethod
    def version(cls) -> str:
        return f"{importlib.metadata.version('inference-gateway')} {_python()}"

    def command(self) -> list[str]:
        file = self.file("gateway.yaml", yaml.safe_dump(self.config()))
        return ["env", *self.work.setup.environment, sys.executable, "-m", "gateway", "run", "-c", file]

    def config(self) -> dict[str, object]:
        """The whole configuration, as YAML holds it."""
        work, setup = self.work, self.work.setup
        server: dict[str, object] = {"listen": f"127.0.0.1:{work.port}", "workers": setup.workers}
        server |= {"drain": {"delay": "0s", "timeout": "1s"}, **setup.server}
        if setup.tls:
            server["tls"] = _certificate(work.directory)
        graph = {"conditionLanguage": setup.language, "nodes": setup.graph([weight for _, weight in work.backends])}
        return {
            "server": server,
            "admin": {"listen": f"unix:{work.directory}/admin.sock"},
            "backends": {
                f"b{number}": {"url": f"http://127.0.0.1:{port}", "model": "iris", **setup.backend}
                for number, (port, _) in enumerate(work.backends)
            },
            "graphs": {"iris": graph | ({"payloadLog": {"sink": setup.log}} if setup.log else {})},
            **setup.file,
        }


def _certificate(directory: Path) -> dict[str, str]:
    """Made on the spot, good for a day; gives ``server.tls``."""
    key, certificate = f"{directory}/key.pem", f"{directory}/certificate.pem"
    if not Path(certificate).exists():
        output([*OPENSSL, *ONE_DAY, "-keyout", key, "-out", certificate])
    return {"certFile": certificate, "keyFile": key}


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
