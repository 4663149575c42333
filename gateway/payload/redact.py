"""Redaction: what jmespath expressions find in a JSON body is replaced, wherever it stands.

An expression must say a place, and so is made of names, indices, slices, wildcards and filters only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import jmespath
import orjson
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

REDACTED = "[redacted]"

Place = tuple[Any, Any]
"""A container and the key in it. What is found is never a root: there must be something to put in its place."""


class Redaction:
    """Raises ValueError for an expression that says no place."""

    def __init__(self, expressions: Iterable[str]) -> None:
        self._paths = [_parsed(expression) for expression in expressions]

    def __call__(self, body: bytes) -> bytes | None:
        """``body`` without what is secret; None when it is not JSON, so that nobody knows what it holds."""
        try:
            root = [orjson.loads(body)]
        except orjson.JSONDecodeError:
            return None
        for path in self._paths:
            for container, key in list(_find(path, (root, 0))):
                container[key] = REDACTED
        try:
            return orjson.dumps(root[0])
        except orjson.JSONEncodeError:  # it reads what is nested deeper than it can write
            return None


def _parsed(expression: str) -> dict[str, Any]:
    try:
        tree = cast(dict[str, Any], jmespath.compile(expression).parsed)
    except JMESPathError as error:
        raise ValueError(f"not a jmespath expression: {' '.join(str(error).split())}") from None
    _check(tree, expression)
    return tree


def _check(tree: dict[str, Any], expression: str) -> None:
    if tree["type"] not in _STEPS:
        raise ValueError(f"'{expression}' says no place: only names, indices, slices, wildcards and filters do")
    if tree["type"] != "slice":
        for child in tree["children"][:2]:  # the third one of a filter is its condition
            _check(child, expression)


def _find(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    return _STEPS[tree["type"]](tree, place)


def _value(place: Place) -> Any:
    return place[0][place[1]]


def _identity(_: dict[str, Any], place: Place) -> Iterator[Place]:
    yield place


def _field(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    value = _value(place)
    if isinstance(value, dict) and tree["value"] in value:
        yield value, tree["value"]


def _index(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    value, index = _value(place), tree["value"]
    if isinstance(value, list) and -len(value) <= index < len(value):
        yield value, index


def _slice(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    value = _value(place)
    if isinstance(value, list):
        yield from ((value, index) for index in range(len(value))[slice(*tree["children"])])


def _chain(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    places = [place]
    for child in tree["children"]:
        places = [found for one in places for found in _find(child, one)]
    yield from places


def _items(value: Any) -> Iterable[Any]:
    return range(len(value)) if isinstance(value, list) else ()


def _elements(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    """A list's elements; of a projection or a flattening, what that finds already."""
    left = tree["children"][0]
    for found in _find(left, place):
        if left["type"] in _PROJECTIONS:
            yield found
        else:
            yield from ((_value(found), index) for index in _items(_value(found)))


def _projection(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    left, right = tree["children"][:2]
    if left["type"] == "flatten" or _ends_in_slice(left):
        found: Iterable[Place] = _find(left, place)
    else:
        found = ((_value(one), index) for one in _find(left, place) for index in _items(_value(one)))
    for one in found:
        yield from _find(right, one)


def _ends_in_slice(tree: dict[str, Any]) -> bool:
    return bool(tree["type"] == "index_expression" and tree["children"][-1]["type"] == "slice")


def _values(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    left, right = tree["children"][:2]
    for found in _find(left, place):
        value = _value(found)
        for key in value if isinstance(value, dict) else ():
            yield from _find(right, (value, key))


def _flatten(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    for element in _elements(tree, place):
        inner = _value(element)
        if isinstance(inner, list):
            yield from ((inner, index) for index in range(len(inner)))
        else:
            yield element


def _filter(tree: dict[str, Any], place: Place) -> Iterator[Place]:
    left, right, condition = tree["children"]
    for found in _find(left, place):
        value = _value(found)
        for index in _items(value):
            if _holds(condition, value[index]):
                yield from _find(right, (value, index))


def _holds(condition: dict[str, Any], value: Any) -> bool:
    """jmespath's own truth; where a function of it fails, for whatever reason, the safe side is to redact."""
    try:
        found = TreeInterpreter().visit(cast(Any, condition), value)
    except Exception:  # not only its own errors: of ceil, min_by and others come those of Python
        return True
    return not (found is None or found is False or found in ("", [], {}))


_PROJECTIONS = ("projection", "value_projection", "filter_projection", "flatten")
_STEPS: dict[str, Callable[[dict[str, Any], Place], Iterator[Place]]] = {
    "identity": _identity,
    "current": _identity,
    "field": _field,
    "index": _index,
    "slice": _slice,
    "subexpression": _chain,
    "index_expression": _chain,
    "projection": _projection,
    "value_projection": _values,
    "filter_projection": _filter,
    "flatten": _flatten,
}
