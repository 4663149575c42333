"""nginx: as a contestant, one worker with upstream keep-alive; and as the backends, which only ever say one thing."""

from __future__ import annotations

from pathlib import Path

from .base import Peer

FRAME = """\
daemon off;
worker_processes 1;
pid {directory}/{name}.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/{name}-body;
  proxy_temp_path {directory}/{name}-proxy;
  fastcgi_temp_path {directory}/{name}-fastcgi;
  uwsgi_temp_path {directory}/{name}-uwsgi;
  scgi_temp_path {directory}/{name}-scgi;
{body}
}}
"""

PROXY = """\
  upstream models {{
{servers}
    keepalive 128;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://models;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}"""

STUB = """\
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location / {{ return 200 '{{"predictions": ["{port}"]}}'; }}
  }}"""


class Nginx(Peer):
    name = "nginx"
    program = "nginx"

    def command(self) -> list[str]:
        servers = "\n".join(f"    server 127.0.0.1:{port} weight={weight};" for port, weight in self.work.backends)
        body = PROXY.format(port=self.work.port, servers=servers)
        return _run(self.file("nginx.conf", FRAME.format(directory=self.work.directory, name=self.name, body=body)))


def stub_command(ports: list[int], directory: Path) -> list[str]:
    """The backends: each answers anything with its own port as the one prediction."""
    body = "\n".join(STUB.format(port=port) for port in ports)
    path = directory / "stub.conf"
    path.write_text(FRAME.format(directory=directory, name="stub", body=body))
    return _run(str(path))


def _run(config: str) -> list[str]:
    return ["nginx", "-e", "stderr", "-c", config]
