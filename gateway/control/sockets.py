"""Listening sockets, opened once by the control process and kept by it: a dead worker's backlog waits for its heir.

TCP: a socket for each worker (SO_REUSEPORT), so that the kernel spreads the connections. Unix: one that all share.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

BACKLOG = 4096
"""Connections that wait to be accepted, per socket; the kernel caps it at net.core.somaxconn."""


class ListenError(Exception):
    """An address that cannot be listened on; its text is a line to print."""


class Port:
    """One address that is listened on: ``name`` as logged, ``sockets`` one for each worker or one for all."""

    def __init__(self, name: str, sockets: Sequence[socket.socket], path: str | None = None) -> None:
        self.name = name
        self.sockets = sockets
        self._path = path

    def of(self, slot: int) -> socket.socket:
        """The socket of the worker in ``slot``."""
        return self.sockets[slot % len(self.sockets)]

    def close(self) -> None:
        """Stop listening here; where workers have the socket too, once they have closed it as well."""
        if self._path is not None:
            # Unlinked first: nobody finds the path any more when its socket closes.
            _unlink(self._path)
            self._path = None
        for sock in self.sockets:
            sock.close()

    def __repr__(self) -> str:
        return f"<Port {self.name} x{len(self.sockets)}>"


def open_ports(addresses: Sequence[str], workers: int) -> list[Port]:
    """Listen on every address (``host:port``, ``[v6]:port``, ``:port``, ``unix:/path``): all, or ListenError."""
    with ExitStack() as opened:
        ports = []
        for address in addresses:
            for port in _open(address, workers):
                opened.callback(port.close)
                ports.append(port)
        opened.pop_all()
        return ports


def _open(address: str, workers: int) -> Iterator[Port]:
    try:
        if address.startswith("unix:"):
            yield _open_unix(address.removeprefix("unix:"))
        else:
            yield from _open_tcp(address, workers)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise ListenError(f"cannot listen on {address}: {reason.lower()}") from error


def _open_unix(path: str) -> Port:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o117)  # So the mode is 0660 from the first moment on.
    try:
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(umask)
    return Port(f"unix:{path}", [sock], path)


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on any more; anything else at ``path`` is left, and bind() will say so."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            _unlink(path)
        except BlockingIOError:
            pass  # Somebody listens, and is busy.


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _open_tcp(address: str, workers: int) -> Iterator[Port]:
    """One Port for each address that the host name stands for; port 0 becomes the same free port for all of them."""
    host, _, digits = address.rpartition(":")
    number = int(digits)
    for family, at in _resolve(host.strip("[]")):
        only_v6 = bool(host)  # ":8080" is every address there is; "[::]:8080" leaves IPv4 to "0.0.0.0:8080".
        if number:
            # A first bind without SO_REUSEPORT: with it, a second gateway would silently share the port with us.
            _bound(family, at, number, only_v6).close()
        sockets = []
        for _ in range(workers):
            sockets.append(_bound(family, at, number, only_v6, socket.SO_REUSEPORT))
            number = sockets[-1].getsockname()[1]
            sockets[-1].listen(BACKLOG)
        yield Port(f"[{at}]:{number}" if family == socket.AF_INET6 else f"{at}:{number}", sockets)


def _bound(family: int, at: str, number: int, only_v6: bool, *options: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # SO_REUSEADDR: connections of a former run that are still being closed are no reason to refuse.
        for option in (socket.SO_REUSEADDR, *options):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
        sock.bind((at, number))
    except OSError:
        sock.close()
        raise
    return sock


def _resolve(host: str) -> list[tuple[int, str]]:
    """Family and address of all that ``host`` stands for; a machine without IPv6 is not asked for it by name."""
    if not host:
        return [(socket.AF_INET6, "::") if _ipv6() else (socket.AF_INET, "0.0.0.0")]
    infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    found = list(dict.fromkeys((int(family), str(at[0])) for family, _, _, _, at in infos))
    return found if len(found) == 1 or _ipv6() else [one for one in found if one[0] == socket.AF_INET]


def _ipv6() -> bool:
    try:
        _bound(socket.AF_INET6, "::1", 0, True).close()
    except OSError:
        return False
    return True
