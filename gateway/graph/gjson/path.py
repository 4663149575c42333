"""A path as a program: what stands at its head, then a search through the document.

A component means one thing in an object and another in an array, and a document may have either at any place, so a
component is read when a document first comes to it, both ways. The Compiler keeps every piece of text that was read;
there are only so many, so no series of documents can make a program grow without end.
"""

from __future__ import annotations

from typing import NamedTuple

from . import split
from .component import Component, Search, find
from .modifiers import Program, modifier
from .text import MISSING, load, read


class Compiler:
    """Reads the parts of one path, each of them once."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}
        self._components: dict[str, Component] = {}

    def path(self, text: str) -> Path:
        """The program for a whole path."""
        known = self._paths.get(text)
        if known is None:
            known = self._paths[text] = Path(text, self)
        return known

    def component(self, text: str) -> Component:
        """The component that ``text`` starts with, and all that follow it."""
        known = self._components.get(text)
        if known is None:
            known = self._components[text] = Component(text, self)
        return known


class Path:
    """A whole path: calling it with a value gives the value found there, or MISSING."""

    __slots__ = ("_head", "_start")

    def __init__(self, text: str, compiler: Compiler) -> None:
        self._head: list[Program] = []
        while (step := _head(text, compiler)).program:
            self._head.append(step.program)
            if not step.rest.startswith((".", "|")):
                self._start = None
                return
            text = step.rest[1:]
        if step.rest.startswith(".."):
            self._head.append(_lines)
        self._start = compiler.component(step.rest.removeprefix(".."))

    def __call__(self, value: object) -> object:
        path: Path | None = self
        while path is not None:
            for program in path._head:
                value = program(value)
            if path._start is None:
                return value
            search = Search()
            if isinstance(value, dict | list):
                find(path._start, value, search)
            value, path = search.found, search.pipe
        return value


class _Head(NamedTuple):
    program: Program | None
    rest: str


def _head(text: str, compiler: Compiler) -> _Head:
    """The modifier, literal or multipath at the head of ``text``; without one, the components to search for."""
    if len(text) < 2:
        return _Head(None, text)
    if text[0] == "@" and (call := split.split_modifier(text)):
        name, argument, rest = call
        return _Head(modifier(name, argument, compiler.path), rest)
    if text[0] == "!" and (literal := split.split_literal(text)):
        return _Head(_constant(read(literal[0])), literal[1])
    if text[0] in "[{":
        return _multipath(text, compiler)
    return _Head(None, text)


def _constant(value: object) -> Program:
    return lambda _: value


def _multipath(text: str, compiler: Compiler) -> _Head:
    parts = split.split_selectors(text)
    if parts is None:
        return _Head(None, "")
    selectors, rest = parts
    if rest and rest[0] not in ".|":
        return _Head(None, rest)
    paths = [compiler.path(selector.path) for selector in selectors]
    if text[0] == "[":
        return _Head(_array(paths), rest)
    return _Head(_object([_name(selector) for selector in selectors], paths), rest)


def _name(selector: split.Selector) -> str:
    if not selector.name:
        return split.last_name(selector.path)
    if selector.name[0] == '"':
        return str(load(selector.name, broken=selector.name))
    return selector.name


def _array(paths: list[Path]) -> Program:
    return lambda value: [found for path in paths if (found := path(value)) is not MISSING]


def _object(names: list[str], paths: list[Path]) -> Program:
    named = list(zip(names, paths, strict=True))
    return lambda value: {name: found for name, path in named if (found := path(value)) is not MISSING}


def _lines(value: object) -> object:
    if value is MISSING:
        return []
    return value if isinstance(value, list) else [value]
