from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from gateway.demo.child import gateway
from gateway.demo.trouble import Trouble

READY = """\
import http.server, os

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *args):
        pass

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ready).serve_forever()
"""


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str) -> None:
    """Let the child run ``source`` in place of the gateway."""
    script = tmp_path / "stand-in"
    script.write_text(f"#!{sys.executable}\n{source}")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_entered_when_ready_and_ended_on_leaving(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port: int
) -> None:
    stand_in(monkeypatch, tmp_path, READY)
    async with gateway(Path("demo.yaml"), {"PORT": str(port)}, f"http://127.0.0.1:{port}") as child:
        assert child.returncode is None
    assert gone(child.pid)


@pytest.mark.parametrize("reason", [RuntimeError, asyncio.CancelledError, KeyboardInterrupt])
async def test_ended_whatever_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port: int, reason: type[BaseException]
) -> None:
    stand_in(monkeypatch, tmp_path, READY)
    with pytest.raises(reason):
        async with gateway(Path("demo.yaml"), {"PORT": str(port)}, f"http://127.0.0.1:{port}") as child:
            raise reason
    assert gone(child.pid)


async def test_one_that_ends_at_once_is_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port: int) -> None:
    stand_in(monkeypatch, tmp_path, "raise SystemExit(3)")
    with pytest.raises(Trouble, match="ended with code 3"):
        async with gateway(Path("demo.yaml"), {}, f"http://127.0.0.1:{port}"):
            pass
