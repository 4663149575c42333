"""Around: what stands around the rows of a body. Clients send the same again and again, and it is read only once.

The rule: what is known is known by its bytes. Another whole value between the same bytes stands at the same place, and
in the same company.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from msgspec import Raw

from . import text
from .format import Unmergeable
from .path import Levels, Path, descend, others

_ROOM: Final = 64
"""Surroundings that are kept; when there are more, all are forgotten."""

_LONGEST: Final = 1024
"""Bytes of them that are worth keeping."""

_NOTHING: Final = Raw(b"null")


class Around:
    """The way to the array at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[bytes, bytes], tuple[Levels, Hashable]] = {}

    def read(self, body: bytes) -> tuple[Levels, Hashable, bytes]:
        """The objects along the path, what stands beside it, to be compared, and the array itself.

        Raises Unmergeable if it is something else, KeyError or ValueError if there is nothing.
        """
        begin, end = body.find(b"["), body.rfind(b"]") + 1
        around, rows = (body[:begin], body[end:]), body[begin:end]
        known = self._known.get(around)
        if known is not None and text.is_value(rows):
            return *known, rows
        levels, found = descend(body, self._path)
        if text.kind(found) != "array":
            raise Unmergeable("shape")
        beside = others(levels, self._path)
        if bytes(found) == rows and sum(map(len, around)) <= _LONGEST:
            self._learn(around, levels, beside)
        return levels, beside, bytes(found)

    def _learn(self, around: tuple[bytes, bytes], levels: Levels, beside: Hashable) -> None:
        if len(self._known) >= _ROOM:
            self._known.clear()
        kept = [
            {name: _NOTHING if name == step else value.copy() for name, value in level.items()}
            for level, step in zip(levels, self._path, strict=True)
        ]
        self._known[around] = kept, beside
