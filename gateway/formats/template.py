"""A body that is the same for everybody but for a few values: written once, and filled in for each.

The rule: a gap is a byte that no JSON text has in it (RFC 8259 section 7), so nothing else is ever taken for one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Raw

from .text import Text

_GAP: Final = b"\0"

GAP: Final = Raw(_GAP)
"""Stands in for a value that is filled in later."""


class Template:
    """``text`` with gaps in it."""

    __slots__ = ("_after", "_before")

    def __init__(self, text: bytes) -> None:
        self._before, *self._after = text.split(_GAP)

    def filled(self, values: Iterable[Text]) -> bytes:
        """The text with these in its gaps, in its order. Raises ValueError unless they are as many."""
        parts: list[Text] = [self._before]
        for value, after in zip(values, self._after, strict=True):
            parts += (value, after)
        return b"".join(parts)
