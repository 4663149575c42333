r"""Wildcards: ``*`` for any characters, ``?`` for one, ``\`` before either for itself.

A pattern is cut at its stars. Each piece has a fixed width, so it is searched for once, from the left, and never tried
again: the time is linear in the text, whatever the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_TOKEN = re.compile(r"\\(?P<escaped>.)|(?P<stars>\*++)|(?P<any>\?)|(?P<plain>.)", re.DOTALL)


def compile_glob(pattern: str) -> Callable[[str], bool]:
    """A test for the texts that ``pattern`` matches from end to end."""
    pieces, widths = _cut(pattern)
    if not pieces:
        return lambda text: False
    compiled = [re.compile(piece, re.DOTALL) for piece in pieces]
    if len(compiled) == 1:
        return lambda text: compiled[0].fullmatch(text) is not None
    first, *middle, last = compiled

    def matches(text: str) -> bool:
        end = len(text) - widths[-1]
        found = first.match(text)
        if found is None or found.end() > end or last.match(text, end) is None:
            return False
        for piece in middle:
            found = piece.search(text, found.end(), end)
            if found is None:
                return False
        return True

    return matches


def _cut(pattern: str) -> tuple[list[str], list[int]]:
    """The regular expressions between the stars, and how many characters each takes."""
    pieces, widths = [""], [0]
    for token in _TOKEN.finditer(pattern):
        if token["stars"]:
            pieces.append("")
            widths.append(0)
            continue
        if token[0] == "\\" and len(pieces) == 1:
            return [], []  # a lone backslash at the end: gjson takes it for itself, but only after a star
        pieces[-1] += "." if token["any"] else re.escape(token["escaped"] or token["plain"])
        widths[-1] += 1
    return pieces, widths
