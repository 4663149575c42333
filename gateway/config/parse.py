"""YAML text to nodes, from the parser's events: no recursion, so no file can exhaust the stack.

Aliases share nodes. A document whose aliases would make it explode when written out is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

import yaml

from .nodes import MappingNode, Node, ScalarNode, SequenceNode
from .report import Place, Report

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 100
FREE_SIZE = 100_000
"""Documents that expand to fewer nodes than this may use aliases as they like; larger ones up to tenfold."""

_CORE_TAG = re.compile(r"tag:yaml\.org,2002:(null|bool|int|float|map|seq|merge)")
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class ParseError(Exception):
    """The text is not YAML, or none that is read here."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


def parse(data: bytes, file: str, report: Report) -> list[Node]:
    """The documents of a file; what cannot be read is reported."""
    nodes: list[Node] = []
    try:
        nodes.extend(_documents(_text(data, file), file))
    except ParseError as error:
        report.error((), error.message, error.place)
        report.complete = False
    return nodes


def _text(data: bytes, file: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParseError(_at(data[: error.start].decode("utf-8-sig"), file), "not UTF-8 text") from None
    if found := _UNPRINTABLE.search(text):
        message = f"the control character {found[0]!r} is not allowed in YAML"
        raise ParseError(_at(text[: found.start()], file), message)
    return text


def _at(before: str, file: str) -> Place:
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _documents(text: str, file: str) -> Iterator[Node]:
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if (root := builder.take(event)) is not None:
                yield root
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark, file)
        context = f" {error.context}" if error.context else ""
        quotes = "; between braces and brackets ${NAME} needs quotes" if "${" in _line(text, place) else ""
        raise ParseError(place, f"not valid YAML: {error.problem}{context}{quotes}") from None


def _line(text: str, place: Place) -> str:
    return "".join(text.split("\n")[place.line - 1 : place.line])


class _Mark(Protocol):
    line: int
    column: int


def _place(mark: _Mark | None, file: str) -> Place:
    return Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file)


class _Builder:
    """Builds one document after the other; ``take`` returns each as it ends."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.count = 0
        self._reset()

    def _reset(self) -> None:
        self.anchors: dict[str, Node] = {}
        self.open: list[tuple[MappingNode | SequenceNode, str | None]] = []
        self.keys: list[Node | None] = []
        self.root: Node | None = None

    def take(self, event: yaml.Event) -> Node | None:
        place = _place(event.start_mark, self.file)
        if isinstance(event, yaml.ScalarEvent):
            self._close(self._scalar(event, place), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._aliased(event, place), place)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start(event, place)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.keys.pop()
            self._close(*self.open.pop())
        elif isinstance(event, yaml.DocumentEndEvent):
            root = self.root
            self._reset()
            return root
        return None

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> ScalarNode:
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            self._known(event.tag, place)
            return ScalarNode(event.value, True, place)
        return ScalarNode(event.value, event.tag is None and event.implicit[0], place)

    def _known(self, tag: str, place: Place) -> None:
        if not _CORE_TAG.fullmatch(tag):
            raise ParseError(place, f"the tag '{tag}' has no meaning here")

    def _aliased(self, event: yaml.AliasEvent, place: Place) -> Node:
        if event.anchor not in self.anchors:
            raise ParseError(place, f"the alias '*{event.anchor}' has no anchor '&{event.anchor}' that ends before it")
        return self.anchors[event.anchor]

    def _start(self, event: yaml.CollectionStartEvent, place: Place) -> None:
        if event.tag is not None and event.tag != "!":
            self._known(event.tag, place)
        mapping = isinstance(event, yaml.MappingStartEvent)
        self.open.append((MappingNode([], place) if mapping else SequenceNode([], place), event.anchor))
        self.keys.append(None)

    def _close(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = node
        self._add(node, node.place)

    def _add(self, node: Node, place: Place) -> None:
        self.count += 1
        if not self.open:
            self.root = node
            return
        parent = self.open[-1][0]
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.depth > DEEPEST:
            raise ParseError(place, f"nested deeper than {DEEPEST} levels")
        if parent.size > max(FREE_SIZE, 10 * self.count):
            raise ParseError(place, "the aliases up to here expand to too many values")
        if isinstance(parent, SequenceNode):
            parent.items.append(node)
        elif (key := self.keys[-1]) is None:
            self.keys[-1] = node
        else:
            parent.pairs.append((key, node))
            self.keys[-1] = None
