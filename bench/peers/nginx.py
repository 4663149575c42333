"""nginx: as a contestant, one worker with upstream keep-alive; and as the backends, which only ever say one thing."""

from __future__ import annotations

from pathlib import Path

from load import answer

from .base import Peer

FRAME = """\
daemon off;
worker_processes 1;
pid {directory}/{name}.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  open_file_cache max=16;
  client_max_body_size 64m;
  client_body_buffer_size 2m;
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
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://models;
      proxy_http_version 1.1;
      proxy_max_temp_file_size 0;
      proxy_buffer_size 16k;
      proxy_buffers 8 128k;
      proxy_busy_buffers_size 256k;
      proxy_set_header Connection "";
    }}
  }}"""

STUB = """\
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    default_type application/json;
    location / {{ {say} }}
  }}"""

FILE = "root {directory}; try_files /{port}.json =404; error_page 405 =200 /{port}.json;"
"""nginx has no POST of a file: its 405 becomes the file."""


class Nginx(Peer):
    name = "nginx"
    program = "nginx"

    def command(self) -> list[str]:
        servers = "\n".join(f"    server 127.0.0.1:{port} weight={weight};" for port, weight in self.work.backends)
        body = PROXY.format(port=self.work.port, servers=servers)
        return _run(self.file("nginx.conf", FRAME.format(directory=self.work.directory, name=self.name, body=body)))


def stub_command(ports: list[int], directory: Path, size: int) -> list[str]:
    """The backends: each answers any POST with ``size`` bytes, with its own port as the one prediction."""
    body = "\n".join(STUB.format(port=port, say=_say(port, directory, size)) for port in ports)
    path = directory / "stub.conf"
    path.write_text(FRAME.format(directory=directory, name="stub", body=body))
    return _run(str(path))


def _say(port: int, directory: Path, size: int) -> str:
    if size <= 1024:  # more than a word of nginx's configuration can hold
        return f"return 200 '{answer(port, size).decode()}';"
    (directory / f"{port}.json").write_bytes(answer(port, size))
    return FILE.format(directory=directory, port=port)


def _run(config: str) -> list[str]:
    return ["nginx", "-e", "stderr", "-c", config]
