"""Stream: the body of an answer that passes through, from the connection that reads it to the one that writes it.

The rule: it ends once, for whatever reason, and whoever cares is told; then it knows nobody any more. It is pushed, not
pulled, and there is no task in it: what comes before somebody takes it waits here, and nothing more is read until then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .errors import GatewayError, UpstreamProtocolError

Ended = Callable[[GatewayError | None], None]
"""Told why a stream did not reach its end, or None when it did."""


class Source(Protocol):
    """Where a body comes from."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Go on; also said once at the beginning."""

    def cancel(self) -> None:
        """Give up: nobody wants the rest."""


class Sink(Protocol):
    """Where a body goes. After ``end`` or ``fail`` nothing more is said."""

    def chunk(self, data: bytes, /) -> None:
        """The next piece, never empty."""

    def end(self) -> None:
        """That was all of it."""

    def fail(self, error: GatewayError, /) -> None:
        """The rest will not come."""


class Stream:
    """One body on its way. ``length``: its bytes, where they are known beforehand; it must then have just as many."""

    __slots__ = (
        "_arrived",
        "_error",
        "_flowing",
        "_missing",
        "_on_end",
        "_over",
        "_sink",
        "_source",
        "_taps",
        "length",
        "passed",
    )

    def __init__(self, source: Source, length: int | None = None) -> None:
        self.length = length
        self.passed = 0
        """Bytes that have come."""
        self._missing = length or 0
        self._source: Source | None = source
        self._sink: Sink | None = None
        self._arrived: list[bytes] = []
        self._error: GatewayError | None = None
        self._on_end: list[Ended] = []
        self._taps: list[Callable[[bytes], object]] = []
        self._flowing = False
        self._over = False

    def __repr__(self) -> str:
        state = "flowing" if self._flowing else "paused" if self._source else "ended"
        return f"<Stream {state}{f' of {self.length} bytes' if self.length is not None else ''}>"

    def when_ended(self, call: Ended) -> None:
        """Call it when the last byte was handed on or there will be none; of several, the first to ask first."""
        if self._source is None:
            call(self._error)
        else:
            self._on_end.append(call)

    def tap(self, call: Callable[[bytes], object]) -> None:
        """Call it with each piece of the body, those included that have come already."""
        for data in self._arrived:
            call(data)
        self._taps.append(call)

    # The source says these.

    def chunk(self, data: bytes) -> None:
        """The next piece of the body, never empty."""
        source = self._source
        self.passed += len(data)
        if self.length is not None:
            self._missing -= len(data)
            if self._missing < 0 and source is not None:
                self.fail(UpstreamProtocolError("the body is longer than its head said"))
                source.cancel()
                return
        for tap in self._taps:
            tap(data)
        if self._sink is None:
            self._arrived.append(data)
        else:
            self._sink.chunk(data)

    def end(self) -> None:
        """There is no more."""
        if self._missing > 0:
            self.fail(UpstreamProtocolError("the body is shorter than its head said"))
        else:
            self._finish(None)

    def fail(self, error: GatewayError) -> None:
        """There should be more, but it will not come."""
        self._finish(error)

    # The sink says these.

    def take(self) -> bytes:
        """What has come so far; for whoever wants to write it together with something else before ``connect``."""
        arrived = b"".join(self._arrived)
        self._arrived.clear()
        return arrived

    def connect(self, sink: Sink) -> None:
        """Hand what comes to ``sink``, at once what has come already. Nothing flows before ``resume``."""
        self._sink = sink
        if arrived := self.take():
            sink.chunk(arrived)
        if self._over:
            self._settle(sink)

    def pause(self) -> None:
        """The sink is full: what is on its way still comes, and then no more."""
        if self._flowing and self._source is not None:
            self._flowing = False
            self._source.pause()

    def resume(self) -> None:
        """Go on."""
        if not self._flowing and self._source is not None:
            self._flowing = True
            self._source.resume()

    def cancel(self, error: GatewayError | None = None) -> None:
        """The rest is not wanted: ``error`` says what was wrong with that, None: nothing was."""
        source = self._source
        if source is not None:
            self._error = error
            self._settle(None)
            source.cancel()

    def _finish(self, error: GatewayError | None) -> None:
        """What has come so far is still handed on, as soon as there is somebody to take it."""
        if not self._over:
            self._over = True
            self._error = error
            if self._sink is not None:
                self._settle(self._sink)

    def _settle(self, sink: Sink | None) -> None:
        """The end. Whoever waits for it comes first, so that numbers are right once the client has the last byte."""
        self._over = True
        self._source = self._sink = None
        self._flowing = False
        self._arrived.clear()
        waiting, self._on_end = self._on_end, []
        for call in waiting:
            call(self._error)
        if sink is None:
            return
        if self._error is None:
            sink.end()
        else:
            sink.fail(self._error)
