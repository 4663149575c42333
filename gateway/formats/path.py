"""The way to a value inside a JSON body, and what stands beside it."""

from __future__ import annotations

from collections.abc import Hashable

from msgspec import Raw

from . import text
from .format import Mismatch

Path = tuple[str, ...]
"""Names of members, each inside the one before; none: the body itself."""

Levels = list[text.Members]
"""The objects along a path, the outermost first."""


def descend(body: bytes, path: Path) -> tuple[Levels, Raw]:
    """The objects along ``path``, and the value at its end. Raises KeyError or ValueError if there is none."""
    levels: Levels = []
    value: bytes | Raw = text.utf8(body)
    for name in path:
        levels.append(text.members(value))
        value = levels[-1][name]
    return levels, value if isinstance(value, Raw) else text.whole(value)


def ascend(levels: Levels, path: Path, value: object) -> bytes:
    """The body with another value at the end of ``path``."""
    for level, name in zip(reversed(levels), reversed(path), strict=True):
        value = {**level, name: value}
    return text.encode(value)


def others(levels: Levels, path: Path) -> Hashable:
    """All that stands beside the value at the end of ``path``, to be compared."""
    return tuple(
        [
            frozenset([(name, text.compared(value)) for name, value in level.items() if name != step])
            for level, step in zip(levels, path, strict=True)
        ]
    )


def check_others(levels: Levels, path: Path, count: int) -> None:
    """Raise Mismatch if something beside the rows is an array as long, for it may tell a caller of others' rows."""
    for level, step in zip(levels, path, strict=True):
        for name, value in level.items():
            if name != step and text.has_array(value, count):
                raise Mismatch(f"'{name}' has {count} elements, as the rows have")
