"""Asks a running gateway whether it is ready: what a container's health check calls."""

from __future__ import annotations

import socket
from http.client import HTTPConnection, HTTPException

PATIENCE = 3.0
"""Seconds for the whole question."""


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)


def ready(address: str) -> str | None:
    """None when the admin site at ``address`` (as in ``admin.listen``) says ready, else why not."""
    connection = _connection(address)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{address}: {error}"
    finally:
        connection.close()
    return None if status == 200 else f"{address}: status {status}"


def _connection(address: str) -> HTTPConnection:
    if address.startswith("unix:"):
        return _UnixConnection(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    # An address to listen on everywhere is asked on the loopback.
    name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
    return HTTPConnection(name, int(port), timeout=PATIENCE)
