"""Rules for ``payloadLog``: the sinks, and what graphs and steps log to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from . import addresses
from .checks import complain
from .payload import PayloadLog, Sink
from .report import Path, Report, suggestion
from .schema import Config

LEAST_SPOOL = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*").fullmatch
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+").fullmatch  # RFC 9110 section 5.6.2
_OURS = frozenset(("content-type", "content-length", "transfer-encoding", "connection"))
_ONLY = {"url": ("http",), "path": ("file",), "headers": ("http",), "content_mode": ("http",)}


def check_payload(config: Config, report: Report) -> None:
    """Report every sink that cannot work, and every log without a sink."""
    sinks = config.payload_log.sinks
    for name, sink in sinks.items():
        _sink(name, sink, ("payloadLog", "sinks", name), report)
    for path, log in _logs(config):
        _log(log, sinks, path, report)


def _logs(config: Config) -> Iterator[tuple[Path, PayloadLog]]:
    for name, graph in config.graphs.items():
        if graph.payload_log is not None:
            yield ("graphs", name, "payloadLog"), graph.payload_log
        for node_name, node in graph.nodes.items():
            for index, step in enumerate(node.steps):
                if step.payload_log is not None:
                    yield ("graphs", name, "nodes", node_name, "steps", index, "payloadLog"), step.payload_log


def _sink(name: str, sink: Sink, path: Path, report: Report) -> None:
    if not _NAME(name):
        report.conflict(path, "a sink's name becomes a directory: use letters, digits, '-', '.' and '_' only")
    if report.broken((*path, "type")):
        return
    for key, types in _ONLY.items():
        given = getattr(sink, key) not in (None, {}, "binary")
        if given and sink.type not in types:
            report.conflict((*path, "contentMode" if key == "content_mode" else key), f"only for type: {types[0]}")
    if sink.type == "http":
        _http(sink, path, report)
    if sink.type == "file" and not sink.path:
        report.conflict(path, "a sink of type: file needs a 'path'")
    if sink.spool.max_bytes < LEAST_SPOOL:
        report.conflict((*path, "spool", "maxBytes"), "must be at least 1MiB")
    if sink.spool.path is not None and not sink.spool.path.startswith("/"):
        report.conflict((*path, "spool", "path"), "must be absolute: the directory that the gateway starts in may vary")


def _http(sink: Sink, path: Path, report: Report) -> None:
    if sink.url is None:
        report.conflict(path, "a sink of type: http needs a 'url'")
    else:
        complain(report, (*path, "url"), addresses.bad_url(sink.url))
    if not sink.timeout:
        report.conflict((*path, "timeout"), "must be at least 1ms")
    for name, value in sink.headers.items():
        complain(report, (*path, "headers", name), _bad_header(name) or addresses.bad_header_value(value))


def _bad_header(name: str) -> str | None:
    if not _TOKEN(name):
        return f"'{name}' is no header name"
    return "the event says this itself" if name.lower() in _OURS or name.lower().startswith("ce-") else None


def _log(log: PayloadLog, sinks: Iterable[str], path: Path, report: Report) -> None:
    if log.sink not in sinks:
        report.conflict((*path, "sink"), f"there is no sink '{log.sink}'{suggestion(log.sink, sinks)}")
    for index, name in enumerate(log.headers):
        complain(report, (*path, "headers", index), None if _TOKEN(name) else f"'{name}' is no header name")
    for index, expression in enumerate(log.redact):
        _redaction(expression, (*path, "redact", index), report)


def _redaction(expression: str, path: Path, report: Report) -> None:
    from ..payload.redact import Redaction  # here, for a fast start of files that have none

    try:
        Redaction((expression,))
    except ValueError as error:
        report.conflict(path, str(error))
