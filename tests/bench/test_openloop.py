from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from openloop import OpenLoop, measure, quantile

REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Backend:
    """Answers each chunk that it reads with the next of ``answers``, the last one for ever; b"" closes."""

    def __init__(self) -> None:
        self.answers = [ANSWER]
        self.held = threading.Event()
        self.held.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            while client.recv(4096):
                self.held.wait(10)
                reply = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
                if not reply:
                    return
                client.sendall(reply)


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.listener.shutdown(socket.SHUT_RDWR)
    backend.listener.close()


@pytest.fixture
def loop(backend: Backend) -> Iterator[OpenLoop]:
    loop = OpenLoop(backend.port, REQUEST, rate=200, connections=2)
    yield loop
    loop.close()


def test_every_request_is_answered(loop: OpenLoop) -> None:
    result = measure(loop, seconds=0.1, warm_up=0.05)
    assert (result.due, result.answered, result.errors) == (30, 30, 0)
    assert 0 < result.p50_ms <= result.p99_ms <= result.max_ms


def test_those_that_had_to_wait_for_a_connection_are_charged_for_it(backend: Backend, loop: OpenLoop) -> None:
    backend.held.clear()
    threading.Timer(0.3, backend.held.set).start()
    loop.run(0.1)  # twenty requests, due within 0.1 s, over two connections that are stuck for 0.3 s
    assert len(loop.latencies) == 20
    assert min(latency for _, latency in loop.latencies) > 0.15


def test_statuses_of_failure_are_errors(backend: Backend, loop: OpenLoop) -> None:
    backend.answers = [ANSWER.replace(b"200 OK", b"503 Service Unavailable"), ANSWER]
    result = measure(loop, seconds=0.05, warm_up=0)
    assert (result.answered, result.errors) == (9, 1)


def test_a_lost_connection_is_one_error_and_is_replaced(backend: Backend, loop: OpenLoop) -> None:
    backend.answers = [b"", ANSWER]
    result = measure(loop, seconds=0.05, warm_up=0)
    assert (result.answered, result.errors) == (9, 1)
    assert len(loop.connections) == 2


def test_an_answer_may_come_in_pieces(backend: Backend, loop: OpenLoop) -> None:
    (connection, *_) = loop.connections.values()
    ours, theirs = socket.socketpair()
    with ours, theirs, connection.sock:
        connection.sock, mine = ours, connection.sock
        for piece in (ANSWER[:10], ANSWER[10:-1]):
            theirs.sendall(piece)
            assert connection.answer() == 0
        theirs.sendall(ANSWER[-1:])
        assert connection.answer() == 200
        connection.sock = mine


def test_quantiles() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert quantile(ordered, 0.5) == 51
    assert quantile(ordered, 0.999) == 100
    assert quantile([], 0.5) == 0
