"""Both ends of a Stream, for tests that hold the middle."""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import GatewayError
from gateway.message import Response
from gateway.stream import Stream


class MockSource:
    """Where a body comes from: keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pause(self) -> None:
        self.said.append("pause")

    def resume(self) -> None:
        self.said.append("resume")

    def cancel(self) -> None:
        self.said.append("cancel")


class MockSink:
    """Where a body goes: keeps what comes, None for the end, the error for a failure."""

    def __init__(self, ended: Callable[[], object] = lambda: None) -> None:
        self.heard: list[bytes | GatewayError | None] = []
        self._ended = ended

    def chunk(self, data: bytes) -> None:
        self.heard.append(data)

    def end(self) -> None:
        self.heard.append(None)
        self._ended()

    def fail(self, error: GatewayError) -> None:
        self.heard.append(error)
        self._ended()


def streamed(status: int = 200, length: int | None = None, source: MockSource | None = None) -> Response:
    """An answer whose body is yet to come."""
    return Response(status, [], stream=Stream(source or MockSource(), length))


def stream_of(response: Response) -> Stream:
    assert response.stream is not None
    return response.stream
