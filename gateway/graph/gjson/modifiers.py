"""The built-in modifiers: ``@name`` or ``@name:argument``, each a function from one value to another.

None of them recurses, so that no document is too deep. MISSING goes in where nothing was found, and some make something
of it, as in gjson.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .compare import trueish
from .text import MISSING, read, write

Program = Callable[[object], object]


def modifier(name: str, argument: str, compile_path: Callable[[str], Program]) -> Program:
    """The modifier ``name``, one of NAMES; ``compile_path`` is for those whose argument is a path."""
    if name == "dig":
        return _dig(compile_path(argument))
    if name == "flatten" and _option(argument, "deep"):
        return _flatten_deep
    if name == "pretty" and _option(argument, "sortKeys"):
        return _sort_keys
    return _PLAIN[name]


def _option(argument: str, name: str) -> bool:
    options = read(argument)
    return isinstance(options, dict) and trueish(options.get(name))


def _this(value: object) -> object:
    return value


def _reverse(value: object) -> object:
    if isinstance(value, list):
        return value[::-1]
    return dict(reversed(value.items())) if isinstance(value, dict) else value


def _keys(value: object) -> object:
    if value is MISSING:
        return []
    if isinstance(value, dict):
        return list(value)
    return [None] * len(value) if isinstance(value, list) else [None]


def _values(value: object) -> object:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return list(value.values())
    return [] if value is MISSING else [value]


def _flatten(value: object) -> object:
    if not isinstance(value, list):
        return value
    flat: list[object] = []
    for item in value:
        flat += item if isinstance(item, list) else (item,)
    return flat


def _flatten_deep(value: object) -> object:
    if not isinstance(value, list):
        return value
    flat: list[object] = []
    rest = value[::-1]
    while rest:
        item = rest.pop()
        if isinstance(item, list):
            rest += reversed(item)
        else:
            flat.append(item)
    return flat


def _join(value: object) -> object:
    """``preserve`` makes no difference: a parsed object holds a name once."""
    if not isinstance(value, list):
        return value
    joined: dict[str, object] = {}
    for item in value:
        if isinstance(item, dict):
            joined |= item
    return joined


def _to_string(value: object) -> object:
    return "" if value is MISSING else write(value)


def _from_string(value: object) -> object:
    if value is None:
        return MISSING
    return read(value) if isinstance(value, str) else value


def _group(value: object) -> object:
    if not isinstance(value, dict):
        return MISSING
    rows: list[dict[str, object]] = []
    for name, column in value.items():
        for index, cell in enumerate(column if isinstance(column, list) else ()):
            if index == len(rows):
                rows.append({})
            rows[index][name] = cell
    return rows


def _dig(path: Program) -> Program:
    def dig(value: object) -> object:
        found, rest = [], [value]
        while rest:
            value = rest.pop()
            if (result := path(value)) is not MISSING:
                found.append(result)
            if isinstance(value, list):
                rest += reversed(value)
            elif isinstance(value, dict):
                rest += reversed(value.values())
        return found

    return dig


def _sort_keys(value: object) -> object:
    root = [value]
    rest: list[Any] = [root]
    while rest:
        copy = rest.pop()
        items = copy.items() if isinstance(copy, dict) else enumerate(copy) if isinstance(copy, list) else ()
        for key, item in items:
            if isinstance(item, dict):
                copy[key] = dict(sorted(item.items()))
            elif isinstance(item, list):
                copy[key] = item.copy()
            rest.append(copy[key])
    return root[0]


_PLAIN: dict[str, Program] = {
    "this": _this,
    "valid": _this,
    "pretty": _this,
    "ugly": _this,
    "reverse": _reverse,
    "keys": _keys,
    "values": _values,
    "flatten": _flatten,
    "join": _join,
    "tostr": _to_string,
    "fromstr": _from_string,
    "group": _group,
}
NAMES = frozenset((*_PLAIN, "dig"))
