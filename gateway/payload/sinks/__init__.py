"""Where events go; each sink in a file of its own. Only the sender imports them."""

from __future__ import annotations

from gateway.config import payload as config

from .file import FileSink
from .http import HttpSink
from .sink import Sink, Verdict
from .stdout import StdoutSink

__all__ = ["Sink", "Verdict", "open_sink"]


def open_sink(sink: config.Sink) -> Sink:
    """The sink that ``sink`` describes."""
    if sink.type == "http":
        return HttpSink(sink)
    return FileSink(sink.path or "", sink.rotate) if sink.type == "file" else StdoutSink()
