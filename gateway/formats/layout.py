"""Where the rows are in a JSON body: the one thing in which JSON protocols without tensors differ."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from typing import Protocol

import msgspec

from gateway.message import Request, Response

from .format import Member
from .path import Levels
from .spliced import Body, Spliced, spans


class Content(msgspec.Struct, eq=False):
    """The body of one request."""

    layout: Layout
    rows: int
    key: Hashable
    levels: Levels
    """The objects along the path to the rows."""
    runs: list[bytes]
    """The rows as text without brackets: of each column, or all at once."""


class Layout(Protocol):
    """Where rows are found in requests and in answers."""

    def read(self, body: bytes, /) -> Content:
        """Raises Unmergeable, or KeyError if there are no rows where this layout has them."""

    def join(self, contents: Sequence[Content], /) -> bytes:
        """One body with the rows of all; the rest is the first one's."""

    def cut(self, body: bytes, spans: Sequence[tuple[int, int]], /) -> list[bytes]:
        """An answer's rows, a body for each span. Raises Mismatch unless the spans are all of its rows."""


class Laid(Spliced):
    """A format of JSON bodies. It says which layout a request has."""

    @abstractmethod
    def _content(self, request: Request, body: bytes) -> Content: ...

    def _read(self, request: Request, body: bytes) -> Member:
        content = self._content(request, body)
        return Member(request, content.rows, content.key, content)

    def _merged(self, members: Sequence[Member]) -> Body:
        contents: list[Content] = [member.parsed for member in members]
        return contents[0].layout.join(contents), None

    def _cut(self, answer: Response, body: bytes, members: Sequence[Member]) -> list[Body]:
        content: Content = members[0].parsed
        return [(piece, None) for piece in content.layout.cut(body, spans(members))]
