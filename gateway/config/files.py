"""Files to a checked Config: what they say together, and everything that is wrong with them at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath

from .check import check
from .check_kserve import check_kserve
from .decode import Decoder
from .kserve import add_manifest, is_manifest
from .nodes import MappingNode, Node, ScalarNode, described, is_null
from .parse import parse
from .report import ConfigErrors, Place, Report
from .schema import Config

log = logging.getLogger("gateway")


def load(paths: Sequence[str], environ: Mapping[str, str], *, faults: bool = False) -> Config:
    """The configuration that the files, and the files of the directories, make up together.

    Logs a warning for what is suspicious; raises ConfigErrors with everything that is wrong, which without ``faults``
    any ``fault`` is.
    """
    config, report = examine(paths, environ, faults=faults)
    for warning in report.warnings:
        log.warning("%s", warning)
    if report.errors:
        raise ConfigErrors(report.errors)
    return config


def examine(paths: Sequence[str], environ: Mapping[str, str], *, faults: bool = False) -> tuple[Config, Report]:
    """As ``load``, but with all findings, and with what could be read in spite of them."""
    report = Report(paths[0] if paths else "")
    documents = [node for path in paths for node in _documents(path, report)]
    decoder = Decoder(report, environ)
    own = [document for document in documents if not is_manifest(document)]
    config = decoder.struct(Config, _merged(own, report), ())
    for name, graph in config.graphs.items():
        if graph.compat == "kserve":
            check_kserve(name, graph.nodes, ("graphs", name), report)
    for document in filter(is_manifest, documents):
        config = add_manifest(config, document, decoder)
    if report.complete:
        check(config, report, faults=faults)
    report.sort()
    return config, report


def _documents(path: str, report: Report) -> Iterator[MappingNode]:
    files = _files(path, report)
    report.files += [path, *files]
    for file in files:
        try:
            data = FilePath(file).read_bytes()
        except OSError as error:
            _unreadable(file, error.strerror or str(error), report)
            continue
        for node in parse(data, file, report):
            if isinstance(node, MappingNode):
                yield node
            elif not is_null(node):
                report.error((), f"expected a mapping, got {described(node)}", node.place)


def _files(path: str, report: Report) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    try:
        files = [str(entry) for entry in FilePath(path).iterdir() if entry.suffix in (".yaml", ".yml")]
    except OSError as error:
        _unreadable(path, error.strerror or str(error), report)
        return []
    if not files:
        _unreadable(path, "the directory holds no *.yaml or *.yml", report)
    return sorted(files)


def _unreadable(path: str, message: str, report: Report) -> None:
    report.error((), f"cannot be read: {message}", Place(path))
    report.complete = False


def _merged(documents: Sequence[MappingNode], report: Report) -> MappingNode:
    """One mapping: `backends` and `graphs` of all documents together; every other key is in one of them only.

    Keys that begin with ``x-`` are the user's own, for anchors.
    """
    first = documents[0].place if documents else report.place(())
    merged = MappingNode([], first)
    shared: dict[str, MappingNode] = {}
    for document in documents:
        for key, value in document.pairs:
            name = key.text if isinstance(key, ScalarNode) else ""
            if name.startswith("x-"):
                continue
            if name in shared and isinstance(value, MappingNode):
                shared[name].pairs += value.pairs
            else:
                merged.pairs.append((key, _open(name, value, shared)))
    return merged


def _open(name: str, value: Node, shared: dict[str, MappingNode]) -> Node:
    """A mapping that more pairs may be added to, without adding them to an anchor's."""
    if name not in ("backends", "graphs") or not isinstance(value, MappingNode):
        return value
    shared[name] = MappingNode(list(value.pairs), value.place)
    return shared[name]
