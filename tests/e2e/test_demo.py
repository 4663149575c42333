"""`gateway demo` as a user runs it: a process, real ports, real models."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.e2e

Demo = subprocess.Popen[str]


@pytest.fixture
def ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def start(ports: tuple[int, int], *arguments: str) -> Demo:
    environ = os.environ | {"DEMO_LISTEN": f"127.0.0.1:{ports[0]}", "DEMO_ADMIN": f"127.0.0.1:{ports[1]}"}
    command = [sys.executable, "-m", "gateway", "demo", *arguments]
    return subprocess.Popen(command, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def serving(ports: tuple[int, int]) -> Iterator[Demo]:
    """A demo that has given its tour and serves."""
    with start(ports) as demo:
        try:
            assert demo.stdout is not None
            assert any("Serving until Ctrl-C" in line for line in demo.stdout), demo.communicate()
            yield demo
        finally:
            demo.terminate()


def all_free(ports: tuple[int, int]) -> bool:
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()
    return True


def test_once_gives_the_tour_checks_it_and_leaves_nothing_behind(ports: tuple[int, int]) -> None:
    with start(ports, "--once") as demo:
        out, err = demo.communicate(timeout=60)
    assert demo.returncode == 0, err
    assert err == ""
    assert f"$ curl -d '{{\"instances\":[[6.8,2.8,4.8,1.4]]}}' 127.0.0.1:{ports[0]}/v1/models/iris:predict" in out
    assert '{"predictions": ["versicolor"]}' in out
    assert "gateway_requests_total{" in out
    assert all_free(ports)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_all_its_children(serving: Demo, ports: tuple[int, int], number: signal.Signals) -> None:
    serving.send_signal(number)
    assert serving.wait(timeout=20) == 0
    assert all_free(ports)


def test_a_taken_port_is_a_clear_error(ports: tuple[int, int]) -> None:
    with socket.create_server(("127.0.0.1", ports[0])), start(ports, "--once") as demo:
        out, err = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert f"port {ports[0]} " in err
    assert "DEMO_LISTEN=" in err
    assert out == ""
