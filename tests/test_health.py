import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.health import ready


@contextmanager
def answering(listener: socket.socket, answer: bytes) -> Iterator[list[bytes]]:
    """A server for one request."""
    heads: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            heads.append(connection.recv(4096))
            connection.sendall(answer)

    listener.listen()
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heads
    finally:
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("status", "problem"),
    [("200 OK", None), ("503 Service Unavailable", "status 503"), ("404 Not Found", "status 404")],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", ""])
def test_it_asks_readyz(status: str, problem: str | None, host: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"{host}:{listener.getsockname()[1]}"
    with answering(listener, f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode()) as heads:
        found = ready(address)
    assert heads[0].startswith(b"GET /readyz HTTP/1.1\r\n")
    assert found == (problem and f"{address}: {problem}")


def test_a_unix_socket() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory, "admin.sock"))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        with answering(listener, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"):
            assert ready(f"unix:{path}") is None


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    assert "refused" in (ready(address) or "")
    assert ready("unix:/nonexistent.sock")


def test_no_http() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with answering(listener, b"SSH-2.0-x\r\n\r\n"):
        assert ready(f"127.0.0.1:{listener.getsockname()[1]}")
