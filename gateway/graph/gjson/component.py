"""The components of a path at work: one step down into an object or an array, and on.

A search can end with nothing: the first element that a query matches settles it, even if what follows the query is not
there. And it can go on with something: ``#(...)#`` leaves its array behind and lets an earlier wildcard look further.
So a step answers whether the search is over, and puts what it found aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import split
from .compare import compile_test
from .glob import compile_glob
from .text import MISSING

if TYPE_CHECKING:
    from .path import Compiler, Path

Object = dict[str, object]
Array = list[object]


class Search:
    """What has been found, and the path piped after it, if any."""

    __slots__ = ("found", "pipe")

    def __init__(self) -> None:
        self.found: object = MISSING
        self.pipe: Path | None = None


class Component:
    """A component and all that follow it, as an object and as an array read them."""

    __slots__ = ("_compiler", "_in_array", "_in_object", "_text")

    def __init__(self, text: str, compiler: Compiler) -> None:
        self._text, self._compiler = text, compiler
        self._in_object: Name | Wild | None = None
        self._in_array: Index | Count | Each | Filter | None = None

    def in_object(self) -> Name | Wild:
        if self._in_object is None:
            self._in_object = _read_key(self._text, self._compiler)
        return self._in_object

    def in_array(self) -> Index | Count | Each | Filter:
        if self._in_array is None:
            self._in_array = _read_index(self._text, self._compiler)
        return self._in_array


def find(component: Component, value: Any, search: Search) -> bool:
    """Search ``value``; True when the search is over. A chain of names needs no stack, however long it is."""
    while True:
        step = component.in_object() if isinstance(value, dict) else component.in_array()
        if step.pipe is not None:
            search.pipe = step.pipe
        if not isinstance(step, Name | Index):
            return step.search(value, search)
        item = step.pick(value)
        if item is MISSING:
            return False
        if step.rest is None:
            search.found = item
            return True
        if not isinstance(item, dict | list):
            return False
        component, value = step.rest, item


class _Step:
    __slots__ = ("pipe", "rest")

    def __init__(self, tail: split.Tail, compiler: Compiler) -> None:
        self.pipe = None if tail.pipe is None else compiler.path(tail.pipe)
        self.rest = None if tail.rest is None else compiler.component(tail.rest)


class Name(_Step):
    """``key``"""

    __slots__ = ("_key",)

    def __init__(self, key: str, tail: split.Tail, compiler: Compiler) -> None:
        super().__init__(tail, compiler)
        self._key = key

    def pick(self, value: Object) -> object:
        return value.get(self._key, MISSING)


class Wild(_Step):
    """``k?y*``: the first key that matches and under which the search ends."""

    __slots__ = ("_matches",)

    def __init__(self, pattern: str, tail: split.Tail, compiler: Compiler) -> None:
        super().__init__(tail, compiler)
        self._matches = compile_glob(pattern)

    def search(self, value: Object, search: Search) -> bool:
        return any(self._ends(item, search) for key, item in value.items() if self._matches(key))

    def _ends(self, item: object, search: Search) -> bool:
        if self.rest is None:
            search.found = item
            return True
        return isinstance(item, dict | list) and find(self.rest, item, search)


class Index(_Step):
    """``0``; anything else that is not special names no element."""

    __slots__ = ("_index",)

    def __init__(self, text: str, tail: split.Tail, compiler: Compiler) -> None:
        super().__init__(tail, compiler)
        self._index = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1

    def pick(self, value: Array) -> object:
        return value[self._index] if 0 <= self._index < len(value) else MISSING


class Count(_Step):
    """``#``"""

    def search(self, value: Array, search: Search) -> bool:
        search.found = len(value)
        return True


class _Many:
    """What looks at every element: the path that follows is for each of them, up to its first pipe."""

    __slots__ = ("_each", "_result", "pipe")

    def __init__(self, tail: split.Tail, compiler: Compiler) -> None:
        self.pipe = None if tail.pipe is None else compiler.path(tail.pipe)
        each, result = (None, None) if tail.rest is None else split.split_pipe(tail.rest)
        self._each = None if each is None else compiler.path(each)
        self._result = None if result is None else compiler.path(result)

    def _take(self, element: object) -> object:
        return element if self._each is None else self._each(element)


class Each(_Many):
    """``#.path``"""

    def search(self, value: Array, search: Search) -> bool:
        search.pipe = self._result or search.pipe
        search.found = [found for element in value if (found := self._take(element)) is not MISSING]
        return True


class Filter(_Many):
    """``#(path operator value)`` and ``#(path operator value)#``"""

    __slots__ = ("_all", "_bare", "_path", "_test")

    def __init__(self, query: split.Query, every: bool, tail: split.Tail, compiler: Compiler) -> None:
        super().__init__(tail, compiler)
        self._all = every
        self._bare = not query.path
        self._path = compiler.path(query.path)
        self._test = compile_test(query.operation, query.right)

    def search(self, value: Array, search: Search) -> bool:
        found = []
        for element in value:
            if not self._matches(element):
                continue
            search.pipe = self._result or search.pipe
            item = self._take(element)
            if not self._all:
                search.found = item
                return True
            if item is not MISSING:
                found.append(item)
        if self._all and search.found is MISSING:
            search.found = found
        return False

    def _matches(self, element: object) -> bool:
        if isinstance(element, dict | list):
            return self._test(self._path(element))
        return self._bare and self._test(element)


def _read_key(text: str, compiler: Compiler) -> Name | Wild:
    key, wild, tail = split.split_key(text)
    return Wild(key, tail, compiler) if wild else Name(key, tail, compiler)


def _read_index(text: str, compiler: Compiler) -> Index | Count | Each | Filter:
    part, query, tail = split.split_index(text)
    if query is not None:
        return Filter(query, text[query.end : query.end + 1] == "#", tail, compiler)
    if part == "#":
        return Count(tail, compiler) if tail.rest is None else Each(tail, compiler)
    return Index(part, tail, compiler)
