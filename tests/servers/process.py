"""A model server as a process of its own, on free ports of 127.0.0.1."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .environment import HERE, Unavailable, python
from .signatures import MODELS

PATIENCE = 120.0
"""Seconds for a server to be ready, and to end."""


@contextmanager
def serving(name: str, log: Path) -> Iterator[int]:
    """The port of the server that ``serve_NAME.py`` is. Raises Unavailable, with the end of its log, if it fails."""
    port, *others = free_ports(3)
    command = [python(name), str(HERE / f"serve_{name}.py"), *map(str, (port, *others))]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True)
    try:
        _wait(port, process, log)
        yield port
    finally:
        _end(process)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not _ready(port):
        if process.poll() is not None or time.monotonic() > end:
            raise Unavailable(f"it does not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _ready(port: int) -> bool:
    """Whether all models are."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        return all(_answers(connection, f"/v2/models/{model}/ready") for model in MODELS)
    except OSError:
        return False
    finally:
        connection.close()


def _answers(connection: http.client.HTTPConnection, path: str) -> bool:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status == 200


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server, wait for it, and let nothing that it started survive."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
