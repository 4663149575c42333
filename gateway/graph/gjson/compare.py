"""The operators of a query, ``#(path OP value)``. What is compared with what is decided by the type of the JSON value.

Text compares with a string and the number in it with a number, whichever way it was quoted; ``true`` and ``false`` know
only each other's names; null, objects and arrays match nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .glob import compile_glob
from .text import MISSING, as_float, parse_float

Test = Callable[[object], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TRUE = frozenset(("1", "t", "true"))
_FALSE = frozenset(("0", "f", "false"))


def compile_test(operation: str, right: str) -> Test:
    """A test of one value, or of MISSING: does it exist (no operator), does it compare so with the text ``right``?"""
    if right.startswith("~"):
        return _converted(operation, right[1:])
    if not operation:
        return exists
    text, number = _text(operation, right), _number(operation, parse_float(right))
    true, false = _true(operation, right), _false(operation, right)

    def test(value: object) -> bool:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, bool):
            return true if value else false
        return isinstance(value, int | float) and number(value)

    return test


def _converted(operation: str, kind: str) -> Test:
    """``~true``, ``~false``, ``~null``, ``~*``: the value is made a boolean, and that one compared with true."""
    convert = _CONVERSIONS.get(kind)
    if convert is None:
        return lambda value: False
    true, false = _true(operation, "true"), _false(operation, "true")
    return lambda value: true if convert(value) else false


def _text(operation: str, right: str) -> Callable[[str], bool]:
    if operation in ("%", "!%"):
        like = compile_glob(right)
        return like if operation == "%" else lambda value: not like(value)
    order = _ORDER.get(operation)
    return (lambda value: order(value, right)) if order else lambda value: False


def _number(operation: str, right: float) -> Callable[[int | float], bool]:
    order = _ORDER.get(operation)
    return (lambda value: order(as_float(value), right)) if order else lambda value: False


def _true(operation: str, right: str) -> bool:
    return {"=": right == "true", "!=": right != "true", ">": right == "false", ">=": True}.get(operation, False)


def _false(operation: str, right: str) -> bool:
    return {"=": right == "false", "!=": right != "false", "<": right == "true", "<=": True}.get(operation, False)


def exists(value: object) -> bool:
    """Whatever was found; null too."""
    return value is not MISSING


def trueish(value: object) -> bool:
    """True, a number other than 0, or a string that reads as true."""
    if isinstance(value, str):
        return value.lower() in _TRUE
    return isinstance(value, int | float) and value != 0


def falseish(value: object) -> bool:
    """False, 0, null, nothing, or a string that reads as false."""
    if isinstance(value, str):
        return value.lower() in _FALSE
    return nullish(value) or (isinstance(value, int | float) and value == 0)


def nullish(value: object) -> bool:
    """Null, or nothing."""
    return value is None or value is MISSING


_CONVERSIONS: dict[str, Test] = {"*": exists, "null": nullish, "true": trueish, "false": falseish}
