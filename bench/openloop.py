"""An open loop: requests leave at a fixed rate, whether or not the answers keep up. One process, one thread.

The latency of a request is counted from the moment at which it was due, not from the one at which a connection was free
to take it, so that a slow answer is also charged with those that it kept waiting (Tene, "How NOT to Measure Latency":
coordinated omission). It is sockets and epoll alone, since an event loop would tell the time in milliseconds.

Usage: openloop.py PORT PATH BODY_FILE --rate 5000 --seconds 3 [--warm-up 0.5] [--connections 64]
Prints one line of JSON; see `Result` for the fields.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import socket
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

from message import whole

GRACE = 5.0
"""Seconds to wait for the last answers."""

HEAD = "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"


@dataclass(frozen=True)
class Result:
    """Latencies in ms, of the requests due after the warm-up."""

    rate: float
    """Answers a second that really came."""
    due: int
    answered: int
    errors: int
    """Statuses outside 200-299, connections lost, and answers that never came."""
    busy: float
    """The part of its core that this process took: near 1, the figures tell of itself."""
    p50_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float


class Connection:
    """One keep-alive connection; at most one request is on its way."""

    __slots__ = ("due", "received", "sock")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=GRACE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.due = 0.0
        self.received = b""

    def answer(self) -> int:
        """Status of the answer once it is complete, 0 before. Raises ConnectionError at its end."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError
        self.received += data
        message = whole(self.received)
        if message is None:
            return 0
        self.received = b""
        return int(message[0][9:12])


class OpenLoop:
    """Sends request number i at ``begun`` + i / ``rate``, or as soon after that as a connection is idle."""

    def __init__(self, port: int, request: bytes, rate: float, connections: int) -> None:
        self.port = port
        self.request = request
        self.rate = rate
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.idle: deque[Connection] = deque()
        self.latencies: list[tuple[float, float]] = []
        self.errors = 0
        for _ in range(connections):
            self._connect()

    def run(self, seconds: float) -> None:
        self.begun = time.perf_counter()
        self.sent, total = 0, int(self.rate * seconds)
        end = self.begun + seconds + GRACE
        while (now := time.perf_counter()) < end:
            if self.sent == total and len(self.idle) == len(self.connections):
                return
            self._send(min(total, int((now - self.begun) * self.rate) + 1))
            self._receive(total)
        self.errors += total - len(self.latencies) - self.errors

    def message(self, number: int) -> bytes:
        """The bytes of request ``number``."""
        return self.request

    def close(self) -> None:
        for connection in self.connections.values():
            connection.sock.close()
        self.epoll.close()

    def _send(self, due: int) -> None:
        while self.sent < due and self.idle:
            connection = self.idle.popleft()
            connection.due = self.begun + self.sent / self.rate
            self.sent += 1
            try:
                connection.sock.send(self.message(self.sent - 1))
            except OSError:
                self._lost(connection)

    def _receive(self, total: int) -> None:
        events = self.epoll.poll(0)
        if not events:
            # epoll's own patience is in milliseconds, that of select in microseconds.
            select.select([self.epoll.fileno()], [], [], self._patience(total))
            events = self.epoll.poll(0)
        for number, _ in events:
            connection = self.connections[number]
            try:
                status = connection.answer()
            except OSError:
                self._lost(connection)
                continue
            if status:
                self._answered(connection, status)

    def _patience(self, total: int) -> float:
        if self.sent == total or not self.idle:
            return 0.1
        return max(0.0, self.begun + self.sent / self.rate - time.perf_counter())

    def _answered(self, connection: Connection, status: int) -> None:
        self.idle.append(connection)
        if 200 <= status < 300:
            self.latencies.append((connection.due, time.perf_counter() - connection.due))
        else:
            self.errors += 1
        connection.due = 0.0

    def _lost(self, connection: Connection) -> None:
        self.errors += connection.due > 0
        del self.connections[connection.sock.fileno()]
        if connection in self.idle:
            self.idle.remove(connection)
        connection.sock.close()
        self._connect()

    def _connect(self) -> None:
        connection = Connection(self.port)
        self.connections[connection.sock.fileno()] = connection
        self.epoll.register(connection.sock, select.EPOLLIN)
        self.idle.append(connection)


def quantile(ordered: list[float], share: float) -> float:
    """The least value that ``share`` of them do not exceed; 0 of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def measure(loop: OpenLoop, seconds: float, warm_up: float) -> Result:
    gc.freeze()
    gc.disable()
    cpu, wall = time.process_time(), time.perf_counter()
    loop.run(warm_up + seconds)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    begun = loop.begun + warm_up
    ordered = sorted(latency * 1e3 for due, latency in loop.latencies if due >= begun)
    last = max((due + latency for due, latency in loop.latencies), default=begun)
    return Result(
        rate=len(ordered) / max(last - begun, seconds),
        due=int(loop.rate * (warm_up + seconds)),
        answered=len(loop.latencies),
        errors=loop.errors,
        busy=cpu / wall,
        p50_ms=quantile(ordered, 0.5),
        p99_ms=quantile(ordered, 0.99),
        p99_9_ms=quantile(ordered, 0.999),
        max_ms=ordered[-1] if ordered else 0.0,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("body", type=Path)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--warm-up", type=float, default=0.5)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    body = options.body.read_bytes()
    request = HEAD.format(path=options.path, length=len(body)).encode() + body
    loop = OpenLoop(options.port, request, options.rate, options.connections)
    print(json.dumps(asdict(measure(loop, options.seconds, options.warm_up))))


if __name__ == "__main__":
    main()
