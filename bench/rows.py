"""A model server that takes its time: so many seconds for a call, and so many for each row of it; one call at a time.

It sleeps as a server whose accelerator is at work does, and hears nothing meanwhile. It knows what the gateway sends
and no more: heads in one piece, bodies with a content-length, rows of v1.

Usage: rows.py PORT [--fixed 0.01] [--row 0.00025]
"""

from __future__ import annotations

import argparse
import select
import socket
import time
from collections import deque

import orjson
from message import whole


class Connection:
    """One connection; it has at most one request at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.sock = sock
        self.received = b""

    def request(self) -> bytes | None:
        """The body, once it is complete. Raises OSError at the end of the connection."""
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionResetError
        self.received += data
        message = whole(self.received)
        if message is None:
            return None
        self.received = b""
        return message[1]


class Model:
    """What waits is served in the order in which it came."""

    def __init__(self, port: int, fixed: float, row: float) -> None:
        self.fixed = fixed
        self.row = row
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)
        self.connections: dict[int, Connection] = {}
        self.waiting: deque[tuple[Connection, bytes]] = deque()

    def run(self) -> None:
        while True:
            for number, _ in self.epoll.poll(0 if self.waiting else -1):
                self._look(number)
            if self.waiting:
                self._serve(*self.waiting.popleft())

    def _look(self, number: int) -> None:
        if number == self.listener.fileno():
            connection = Connection(self.listener.accept()[0])
            self.connections[connection.sock.fileno()] = connection
            self.epoll.register(connection.sock, select.EPOLLIN)
            return
        connection = self.connections[number]
        try:
            body = connection.request()
        except OSError:
            self.epoll.unregister(connection.sock)
            del self.connections[number]
            connection.sock.close()
            return
        if body is not None:
            self.waiting.append((connection, body))

    def _serve(self, connection: Connection, body: bytes) -> None:
        """What nobody waits for any more is not computed."""
        if connection.sock.fileno() < 0:
            return
        rows = len(orjson.loads(body)["instances"])
        if seconds := self.fixed + self.row * rows:
            time.sleep(seconds)
        answer = b'{"predictions":[%b]}' % b",".join([b"1"] * rows)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
        try:
            connection.sock.send(head + answer)
        except OSError:
            pass  # its end will be read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--fixed", type=float, default=0.01, help="seconds of a call")
    parser.add_argument("--row", type=float, default=0.00025, help="seconds of a row")
    options = parser.parse_args()
    Model(options.port, options.fixed, options.row).run()


if __name__ == "__main__":
    main()
