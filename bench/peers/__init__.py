"""The contestants, in the order of the table."""

from .base import Peer, Setup, Work
from .haproxy import Haproxy
from .nginx import Nginx, stub_command
from .python import AiohttpProxy, Floor, Gateway

PEERS: tuple[type[Peer], ...] = (Gateway, Haproxy, Nginx, Floor, AiohttpProxy)

__all__ = ["PEERS", "Gateway", "Haproxy", "Nginx", "Peer", "Setup", "Work", "stub_command"]
