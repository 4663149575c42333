"""Columns: in place of rows, an array for each input, or one alone; each has an element for each row.

The columnar format of TensorFlow Serving (``inputs``); KServe takes it as well, but answers it with ``predictions``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Raw

from . import text
from .format import Mismatch, Unmergeable
from .layout import Content
from .path import ascend, check_others, descend, others
from .rows import cut_array
from .template import GAP, Template

_PATH: Final = ("inputs",)
_ANSWERS: Final = ("outputs", "predictions")


class Columns:
    """One array, or an object of arrays, in requests and in answers."""

    def read(self, body: bytes, /) -> Content:
        """Raises Unmergeable, or KeyError without ``inputs``."""
        levels, inputs = descend(body, _PATH)
        columns = {"": inputs} if text.kind(inputs) == "array" else _columns(inputs)
        counts, outlines = zip(*map(text.rows, columns.values()), strict=True)
        if len(set(counts)) != 1:
            raise Unmergeable("shape")
        if not counts[0]:
            raise Unmergeable("empty")
        key = (others(levels, _PATH), text.kind(inputs), tuple(columns), outlines)
        return Content(self, counts[0], key, levels, [text.run(column) for column in columns.values()])

    def join(self, contents: Sequence[Content], /) -> bytes:
        """One body with the rows of all."""
        levels = contents[0].levels
        joined = [text.array(runs) for runs in zip(*(content.runs for content in contents), strict=True)]
        inputs = levels[0]["inputs"]
        value = joined[0] if text.kind(inputs) == "array" else dict(zip(_columns(inputs), joined, strict=True))
        return ascend(levels, _PATH, value)

    def cut(self, body: bytes, spans: Sequence[tuple[int, int]], /) -> list[bytes]:
        """A body for each span of the answers. Raises Mismatch."""
        answer = text.members(text.utf8(body))
        name = next((name for name in _ANSWERS if name in answer), None)
        if name is None:
            raise Mismatch("there are no 'outputs'")
        check_others([answer], (name,), spans[-1][1])
        shares, gaps = _shares(answer[name], spans)
        frame = Template(ascend([answer], (name,), gaps))
        return [frame.filled(share) for share in shares]


def _columns(inputs: Raw) -> text.Members:
    if text.kind(inputs) != "object":
        raise Unmergeable("shape")
    columns = text.members(inputs)
    if not columns or any(text.kind(column) != "array" for column in columns.values()):
        raise Unmergeable("shape")
    return columns


def _shares(outputs: Raw, spans: Sequence[tuple[int, int]]) -> tuple[Iterable[tuple[Raw, ...]], object]:
    """What each span is to get of every column, and the value with gaps for it."""
    if text.kind(outputs) == "array":
        return zip(cut_array(outputs, spans)), GAP
    columns = text.members(outputs)
    if not columns:
        raise Mismatch("there are no outputs")
    rows = [cut_array(column, spans) for column in columns.values()]
    return zip(*rows, strict=True), dict.fromkeys(columns, GAP)
