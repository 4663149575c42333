"""Where the rows are in a JSON body: the one thing in which JSON protocols without tensors differ."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import Protocol

import msgspec
from msgspec import Raw

from gateway.message import Request, Response

from . import text
from .format import Member, Mismatch
from .spliced import Body, Spliced, circumstances, spans

Path = tuple[str, ...]
"""Names of members, each inside the one before; none: the body itself."""

Levels = list[text.Members]
"""The objects along a path, the outermost first."""


class Content(msgspec.Struct, eq=False):
    """The body of one request."""

    rows: int
    key: Hashable
    levels: Levels
    runs: list[bytes]
    """The rows as text without brackets: of each column, or all at once."""


class Layout(Protocol):
    """Where rows are found in requests and in answers."""

    def read(self, body: bytes, /) -> Content:
        """Raises Unmergeable; KeyError if there are no rows where this layout has them."""

    def join(self, contents: Sequence[Content], /) -> bytes:
        """One body with the rows of all; the rest is the first one's."""

    def cut(self, body: bytes, spans: Sequence[tuple[int, int]], /) -> list[bytes]:
        """An answer with the rows of each span only. Raises Mismatch unless they are all of its rows."""


class Laid(Spliced):
    """A format of JSON bodies, whose layout is known once a request is seen."""

    @abstractmethod
    def _content(self, request: Request, body: bytes) -> tuple[Layout, Content]: ...

    def _read(self, request: Request, body: bytes) -> Member:
        layout, content = self._content(request, body)
        key = (circumstances(request), layout, content.key)
        return Member(request, content.rows, key, content)

    def _merged(self, members: Sequence[Member]) -> Body:
        return _layout(members).join([member.parsed for member in members]), None

    def _cut(self, answer: Response, body: bytes, members: Sequence[Member]) -> list[Body]:
        return [(piece, None) for piece in _layout(members).cut(body, list(spans(members)))]


def _layout(members: Sequence[Member]) -> Layout:
    layout: Layout = members[0].parsed.layout
    return layout


def descend(body: bytes, path: Path) -> tuple[Levels, Raw]:
    """The objects along ``path``, and the value at its end. Raises KeyError or ValueError if there is none."""
    levels: Levels = []
    value = text.whole(body)
    for name in path:
        levels.append(text.members(value))
        value = levels[-1][name]
    return levels, value


def ascend(levels: Levels, path: Path, value: object) -> bytes:
    """The body with another value at the end of ``path``."""
    for level, name in zip(reversed(levels), reversed(path), strict=True):
        value = {**level, name: value}
    return text.encode(value)


def others(levels: Levels, path: Path) -> Hashable:
    """All but what is at the end of ``path``, to be compared."""
    return tuple(
        frozenset((name, bytes(value)) for name, value in level.items() if name != step)
        for level, step in zip(levels, path, strict=True)
    )


def check_others(levels: Levels, path: Path, count: int) -> None:
    """Raise Mismatch if something beside the rows has as many elements as there are rows.

    It may tell one caller about the rows of another.
    """
    for level, step in zip(levels, path, strict=True):
        for name, value in level.items():
            if name != step and text.has_array(value, count):
                raise Mismatch(f"'{name}' has an element for each row, too")
