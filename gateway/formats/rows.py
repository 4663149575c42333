"""Rows: an array in the request, with an element for each row, and another one in the answer."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from . import text
from .around import Around
from .format import Mismatch, Unmergeable
from .layout import Content
from .path import Levels, Path, ascend, check_others, descend
from .template import GAP, Template


class Rows:
    """The array at ``path``; its answers at the first of ``answers`` that there is."""

    def __init__(self, path: Path, *answers: Path) -> None:
        self._path = path
        self._around = Around(path)
        self._answers = answers

    def read(self, body: bytes, /) -> Content:
        """Raises Unmergeable, or KeyError if there is nothing at the path."""
        levels, beside, rows = self._around.read(body)
        count, outline = text.rows(rows)
        if not count:
            raise Unmergeable("empty")
        return Content(self, count, (beside, outline), levels, [text.run(rows)])

    def join(self, contents: Sequence[Content], /) -> bytes:
        """One body with the rows of all."""
        rows = text.array(content.runs[0] for content in contents)
        return ascend(contents[0].levels, self._path, rows)

    def cut(self, body: bytes, spans: Sequence[tuple[int, int]], /) -> list[bytes]:
        """A body for each span of the answers. Raises Mismatch."""
        path, levels, answers = self._found(body)
        rows = cut_array(answers, spans)
        check_others(levels, path, spans[-1][1])
        frame = Template(ascend(levels, path, GAP))
        return [frame.filled((part,)) for part in rows]

    def _found(self, body: bytes) -> tuple[Path, Levels, Raw]:
        for path in self._answers:
            try:
                return path, *descend(body, path)
            except KeyError:
                continue
        raise Mismatch(f"there is no '{'.'.join(self._answers[0])}'")


def cut_array(array: Raw, spans: Sequence[tuple[int, int]]) -> list[Raw]:
    """An array for each span. Raises Mismatch unless they are all of its elements."""
    if text.kind(array) != "array":
        raise Mismatch(f"not an array of rows but: {text.kind(array)}")
    elements, count = text.elements(array), spans[-1][1]
    if len(elements) != count:
        raise Mismatch(f"{len(elements)} rows came back for {count}")
    return [text.array(elements[start:end]) for start, end in spans]
