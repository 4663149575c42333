"""haproxy, one thread: what C can do."""

from __future__ import annotations

from .base import Peer

CONFIG = """\
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:{port} backlog 4096
  default_backend models
backend models
  balance roundrobin
{servers}
"""


class Haproxy(Peer):
    name = "haproxy"
    program = "haproxy"

    def command(self) -> list[str]:
        servers = "\n".join(f"  server s{port} 127.0.0.1:{port} weight {weight}" for port, weight in self.work.backends)
        return ["haproxy", "-db", "-f", self.file("haproxy.cfg", CONFIG.format(port=self.work.port, servers=servers))]
