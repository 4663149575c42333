"""Where a backend is: the parts of its URL that a connection needs."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"
"""What a URL's path and query may hold besides letters, digits and ``-._`` (RFC 3986); KServe's may hold anything."""


class Origin(msgspec.Struct, frozen=True):
    """Scheme, host and port of a URL; or the path of a unix socket."""

    host: str
    port: int
    tls: bool = False
    socket: str = ""

    @property
    def authority(self) -> bytes:
        """What goes into Host (RFC 9110 section 7.2)."""
        if self.socket:
            return b"localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host.encode() if self.port == (443 if self.tls else 80) else f"{host}:{self.port}".encode()

    def __str__(self) -> str:
        if self.socket:
            return f"unix:{self.socket}"
        return f"{'https' if self.tls else 'http'}://{self.authority.decode()}"


def split(url: str) -> tuple[Origin, str]:
    """The origin of ``url``, and its path with the query, ``""`` where it has none."""
    if url.startswith("unix:"):
        return Origin("localhost", 0, socket=url.removeprefix("unix:")), ""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.hostname or "", parts.port or (443 if tls else 80), tls), target
