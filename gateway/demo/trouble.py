"""What stands in the way of the demo, and what to do about it."""

from __future__ import annotations

import socket


class Trouble(Exception):
    """The demo cannot go on; the text is for the user."""


def check_free(address: str, variable: str) -> None:
    """Raise Trouble if somebody listens at ``address`` (``host:port``), which ``variable`` would change."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_server((host, int(port))).close()
    except OSError as error:
        raise Trouble(
            f"cannot listen on port {port} ({error.strerror}). Stop what listens there, "
            f"or choose another port: {variable}={host}:{int(port) + 1} gateway demo"
        ) from None
