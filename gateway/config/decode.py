"""Nodes to structs, led by the structs' own shape: every error is reported, none stops the rest from being read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar, cast

import msgspec

from . import scalars
from .nodes import MappingNode, Node, ScalarNode, SequenceNode, described, is_null
from .report import Path, Report, suggestion
from .shape import Free, Many, One, Record, Shape, Table, shape
from .substitute import substitute

S = TypeVar("S", bound=msgspec.Struct)


class Decoder:
    """Reads nodes into structs. Where something is wrong it reports so and goes on with a blank value.

    ``environ`` fills in variables; None: there are none. With ``fold`` keys match without regard to case, as Go's do.
    """

    def __init__(self, report: Report, environ: Mapping[str, str] | None, *, fold: bool = False) -> None:
        self.report = report
        self.environ = environ
        self.fold = fold

    def struct(self, cls: type[S], node: Node, path: Path) -> S:
        """The ``cls`` that ``node`` stands for."""
        return cast(S, self._record(shape(cls), node, path))

    def text(self, node: Node, path: Path) -> str | None:
        """The text of a scalar, variables filled in; None, and reported, when it is none."""
        if not isinstance(node, ScalarNode):
            self.report.error(path, f"expected text, got {described(node)}", node.place)
            return None
        filled = self._filled(node, path)
        return None if filled is None else filled.text

    def entries(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Node, Node]]:
        """Name, key and value of each pair: the mapping's own, and those it inherits by ``<<``. Marks their places."""
        own: dict[str, tuple[Node, Node]] = {}
        inherited: list[tuple[Node, Node]] = []
        for key, value in node.pairs:
            if isinstance(key, ScalarNode) and key.plain and key.text == "<<":
                inherited += self._merged(value, path)
            elif (name := self.text(key, path)) is not None:
                if name in own:
                    self.report.error((*path, name), f"duplicate key; first at {own[name][0].place}", key.place)
                own.setdefault(name, (key, value))
        for key, value in inherited:
            if (name := self.text(key, path)) is not None:
                own.setdefault(name, (key, value))
        for name, (key, value) in own.items():
            self.report.mark((*path, name), value.place if isinstance(value, ScalarNode) else key.place)
            yield name, key, value

    def _merged(self, node: Node, path: Path) -> list[tuple[Node, Node]]:
        """The pairs of what ``<<`` names; of several mappings the earlier wins (https://yaml.org/type/merge.html)."""
        pairs: list[tuple[Node, Node]] = []
        for source in node.items if isinstance(node, SequenceNode) else [node]:
            if not isinstance(source, MappingNode):
                self.report.error((*path, "<<"), f"expected a mapping to merge, got {described(source)}", source.place)
                continue
            for key, value in sorted(source.pairs, key=_is_merge):
                nested = _is_merge((key, value))
                pairs += self._merged(value, path) if nested else [(key, value)]
        return pairs

    def _value(self, kind: Shape, node: Node, path: Path) -> object:
        match kind:
            case Free():
                return self._free(node, path)
            case One():
                return self._scalar(kind, node, path)
            case Many():
                return self._list(kind, node, path)
            case Table():
                return self._table(kind, node, path)
            case Record():
                return self._record(kind, node, path)

    def _scalar(self, kind: One, node: Node, path: Path) -> object:
        if not isinstance(node, ScalarNode):
            return self._wrong(kind, node, path)
        filled = self._filled(node, path)
        if filled is None:
            return kind.kinds[0].blank
        message = ""
        for scalar in kind.kinds:
            try:
                return scalar.read(filled.text, filled.plain)
            except ValueError as error:
                message = str(error)
        if len(kind.kinds) > 1:
            message = f"expected {kind.expects}, got {described(filled)}"
        self.report.error(path, message, node.place)
        return kind.kinds[0].blank

    def _free(self, node: Node, path: Path) -> object:
        """What ``node`` says in JSON's terms."""
        if isinstance(node, MappingNode):
            return {name: self._free(value, (*path, name)) for name, _, value in self.entries(node, path)}
        if isinstance(node, SequenceNode):
            return [self._free(item, (*path, index)) for index, item in enumerate(node.items)]
        filled = self._filled(node, path)
        try:
            return None if filled is None else scalars.as_json(filled.text, filled.plain)
        except ValueError as error:
            self.report.error(path, str(error), node.place)
            return None

    def _filled(self, node: ScalarNode, path: Path) -> ScalarNode | None:
        if self.environ is None or "$" not in node.text:
            return node
        try:
            return ScalarNode(substitute(node.text, self.environ), node.plain, node.place)
        except ValueError as error:
            self.report.error(path, str(error), node.place)
            return None

    def _list(self, kind: Many, node: Node, path: Path) -> tuple[object, ...]:
        if kind.or_one and isinstance(node, ScalarNode):
            return (self._value(kind.of, node, path),)
        if not isinstance(node, SequenceNode):
            self._wrong(kind, node, path)
            return ()
        for index, item in enumerate(node.items):
            self.report.mark((*path, index), item.place)
        return tuple(self._value(kind.of, item, (*path, index)) for index, item in enumerate(node.items))

    def _table(self, kind: Table, node: Node, path: Path) -> dict[str, object]:
        if not isinstance(node, MappingNode):
            self._wrong(kind, node, path)
            return {}
        return {name: self._value(kind.of, value, (*path, name)) for name, _, value in self.entries(node, path)}

    def _record(self, record: Record, node: Node, path: Path) -> msgspec.Struct:
        values: dict[str, object] = {}
        if isinstance(node, MappingNode):
            values = self._fields(record, node, path)
            self._missing(record, values, path)
        elif is_null(node):
            self._missing(record, values, path)
        else:
            self._wrong(record, node, path)
        for key in record.keys:
            if key.required and key.attribute not in values:
                values[key.attribute] = _blank(key.shape)
        return record.cls(**values)

    def _fields(self, record: Record, node: MappingNode, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        known = {name.casefold(): key for name, key in record.by_name.items()} if self.fold else record.by_name
        for name, place, value in self.entries(node, path):
            key = known.get(name.casefold() if self.fold else name)
            if key is None:
                self._unknown(record, name, place, path)
            elif is_null(value):
                continue
            elif key.attribute in values and not self.fold:
                self.report.error((*path, name), f"'{key.alias}' is another name of '{key.name}'; give one of them")
            else:
                self.report.mark((*path, key.name), self.report.place((*path, name)))
                values[key.attribute] = self._value(key.shape, value, (*path, key.name))
        return values

    def _unknown(self, record: Record, name: str, key: Node, path: Path) -> None:
        if not record.open:
            self.report.error((*path, name), f"unknown key{suggestion(name, record.by_name)}", key.place)

    def _missing(self, record: Record, values: dict[str, object], path: Path) -> None:
        for key in record.keys:
            if key.required and key.attribute not in values:
                self.report.error((*path, key.name), f"the key '{key.name}' is missing")

    def _wrong(self, kind: Shape, node: Node, path: Path) -> object:
        self.report.error(path, f"expected {kind.expects}, got {described(node)}", node.place)
        return _blank(kind)


def _is_merge(pair: tuple[Node, Node]) -> bool:
    key = pair[0]
    return isinstance(key, ScalarNode) and key.plain and key.text == "<<"


def _blank(kind: Shape) -> object:
    match kind:
        case Free():
            return None
        case One():
            return kind.kinds[0].blank
        case Many():
            return ()
        case Table():
            return {}
        case Record():
            return kind.cls(**{key.attribute: _blank(key.shape) for key in kind.keys if key.required})
