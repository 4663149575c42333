"""What stands in the way of the demo, and what to do about it."""

from __future__ import annotations

import os
import socket


class Trouble(Exception):
    """The demo cannot go on; the text is for the user."""


def check_free(address: str, variable: str) -> None:
    """Raise Trouble if nobody can listen at ``address`` (``host:port``), which ``variable`` would change."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise Trouble(f"{variable}={address}: the demo needs host:port, such as 127.0.0.1:8081")
    try:
        socket.create_server((host, int(port))).close()
    except OSError as error:
        raise Trouble(
            f"cannot listen on port {port} ({os.strerror(error.errno or 0)}). Stop what listens there, "
            f"or choose another port: {variable}={host}:{int(port) + 1} gateway demo"
        ) from None
