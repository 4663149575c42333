"""Forwarded: keeps ``x-forwarded-for`` honest. In the stack only where a rule lets that header through."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from gateway.message import Request, Response
from gateway.service import Layer, Service

_REMEMBERED = 4096


class Forwarded:
    """Appends the client's address; drops what a client wrote there that is not a trusted proxy.

    It stands inside Forward, whose requests are its own to change.
    """

    def __init__(self, inner: Service, trusted: Iterable[str]) -> None:
        self.inner = inner
        self._networks = [ip_network(cidr, strict=False) for cidr in trusted]
        self._known: dict[bytes, bool] = {}

    def __call__(self, request: Request) -> Awaitable[Response]:
        chain = [request.peer] if request.peer else []
        if self._trusts(request.peer):
            chain = [value for name, value in request.headers if name == b"x-forwarded-for"] + chain
        headers = [field for field in request.headers if field[0] != b"x-forwarded-for"]
        request.headers = [*headers, (b"x-forwarded-for", b", ".join(chain))] if chain else headers
        return self.inner(request)

    def _trusts(self, peer: bytes) -> bool:
        if not peer:
            return True  # a unix socket: whoever may open it is trusted
        trusted = self._known.get(peer)
        if trusted is None:
            trusted = any(_address(peer) in network for network in self._networks)
            if len(self._known) < _REMEMBERED:
                self._known[peer] = trusted
        return trusted


def _address(peer: bytes) -> IPv4Address | IPv6Address:
    """Without its zone; a socket that listens on both families shows an IPv4 peer as ``::ffff:192.0.2.1``."""
    address = ip_address(peer.decode().partition("%")[0])
    return (address.version == 6 and address.ipv4_mapped) or address


def forwarded(trusted: Iterable[str]) -> Layer:
    """``trusted``: networks in CIDR notation, ``server.trustedProxies``."""
    trusted = tuple(trusted)
    return lambda inner: Forwarded(inner, trusted)
