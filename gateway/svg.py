"""Pictures of graphs for browsers: one self-contained SVG, laid out in columns by distance from ``root``."""

from __future__ import annotations

from html import escape

import msgspec

from .config.schema import Config, Graph
from .draw import COLOURS, Arrow, Box, picture

LETTER, LINE, PAD, ROW, MARGIN = 7.2, 17, 12, 74, 24
"""Pixels: width of a letter, height of a line, inside a box, from row to row, around the picture."""

_STYLE = (
    "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#111827}.title{font-weight:bold}"
    ".note,.words{fill:#4b5563}.words{paint-order:stroke;stroke:#fff;stroke-width:4px}"
    ".arrow{fill:none;stroke:#9ca3af;stroke-width:1.5}.box{stroke:#9ca3af}"
    ".heading{font-size:16px;font-weight:bold}"
)


class Spot(msgspec.Struct):
    """Where a box is drawn: its left edge, its middle line, its size."""

    x: float
    y: float
    width: float
    height: float


def svg(config: Config) -> str:
    """One picture, the graphs below each other."""
    parts: list[str] = []
    top, width = float(MARGIN), 0.0
    for title, graph in config.graphs.items():
        parts.append(_text(MARGIN, top + LINE, title, "heading"))
        drawn, right, bottom = _graph(graph, config, top + 2 * LINE)
        parts += drawn
        top, width = bottom + MARGIN, max(width, right + MARGIN)
    size = f'width="{width:.0f}" height="{top:.0f}" viewBox="0 0 {width:.0f} {top:.0f}"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', *_HEAD, *parts, "</svg>"]) + "\n"


_HEAD = (
    f"<style>{_STYLE}</style>",
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" fill="#9ca3af"/></marker></defs>',
    '<rect width="100%" height="100%" fill="#fff"/>',
)


def _graph(graph: Graph, config: Config, top: float) -> tuple[list[str], float, float]:
    """The elements of one graph, its right edge and its lower one."""
    boxes, arrows = picture(graph, config)
    spots = _placed(boxes, arrows, top)
    parts = [part for arrow in arrows for part in _arrow(arrow, spots)]
    parts += [part for box in boxes for part in _box(box, spots[box])]
    right = max(spot.x + spot.width for spot in spots.values())
    return parts, right, max(spot.y for spot in spots.values()) + ROW / 2


def _placed(boxes: list[Box], arrows: list[Arrow], top: float) -> dict[Box, Spot]:
    columns = _columns(boxes, arrows)
    rows = _rows(boxes, arrows, columns)
    spots: dict[Box, Spot] = {}
    x = float(MARGIN)
    for column in range(max(columns.values()) + 1):
        members = [box for box in boxes if columns[box] == column]
        width = max(_width(box) for box in members)
        for box in members:
            height = LINE * len(_lines(box)) + PAD
            spots[box] = Spot(x, top + ROW * (rows[box] + 0.5), width, height)
        words = [len(label) for start, label, _ in arrows if columns[start] == column]
        x += width + 60 + LETTER * max(words, default=0)
    return spots


def _columns(boxes: list[Box], arrows: list[Arrow]) -> dict[Box, int]:
    """The longest way from ``root``, so that every arrow points to the right."""
    columns = dict.fromkeys(boxes, 0)
    waiting = boxes[:1]
    below: dict[Box, list[Box]] = {box: [] for box in boxes}
    missing = dict.fromkeys(boxes, 0)
    for start, _, end in arrows:
        below[start].append(end)
        missing[end] += 1
    while waiting:
        box = waiting.pop()
        for child in below[box]:
            columns[child] = max(columns[child], columns[box] + 1)
            missing[child] -= 1
            if not missing[child]:
                waiting.append(child)
    return columns


def _rows(boxes: list[Box], arrows: list[Arrow], columns: dict[Box, int]) -> dict[Box, float]:
    """Leaves take one row each, in the order of the steps; the others stand amid their children, one below another."""
    below: dict[Box, list[Box]] = {box: [] for box in boxes}
    for start, _, end in arrows:
        below[start].append(end)
    rows: dict[Box, float] = {}
    for box in _depth_first(boxes[0], below):
        if not below[box]:
            rows[box] = float(sum(not below[placed] for placed in rows))
    free = dict.fromkeys(columns.values(), 0.0)
    for box in sorted(boxes, key=lambda box: -columns[box]):
        children = [rows[child] for child in below[box]]
        wanted = sum(children) / len(children) if children else rows[box]
        rows[box] = max(wanted, free[columns[box]])
        free[columns[box]] = rows[box] + 1
    return rows


def _depth_first(root: Box, below: dict[Box, list[Box]]) -> list[Box]:
    seen: dict[Box, None] = {}
    waiting = [root]
    while waiting:
        box = waiting.pop()
        if box not in seen:
            seen[box] = None
            waiting += reversed(below[box])
    return list(seen)


def _lines(box: Box) -> list[str]:
    return [box.title, *filter(None, (box.kind, box.note))]


def _width(box: Box) -> float:
    return LETTER * max(map(len, _lines(box))) + 2 * PAD


def _box(box: Box, spot: Spot) -> list[str]:
    top = spot.y - spot.height / 2
    place = f'x="{spot.x:.1f}" y="{top:.1f}" width="{spot.width:.1f}" height="{spot.height:.1f}"'
    parts = [f'<rect class="box" {place} rx="{8 if box.kind else 16}" fill="{COLOURS[box.kind]}"/>']
    for index, line in enumerate(_lines(box)):
        parts.append(_text(spot.x + PAD, top + LINE * (index + 1), line, "note" if index else "title"))
    return parts


def _arrow(arrow: Arrow, spots: dict[Box, Spot]) -> list[str]:
    start, words, end = arrow
    x1, y1, x2, y2 = spots[start].x + spots[start].width, spots[start].y, spots[end].x, spots[end].y
    bend = x1 + 30
    line = f"M{x1:.1f},{y1:.1f} C{bend:.1f},{y1:.1f} {x1:.1f},{y2:.1f} {bend + 10:.1f},{y2:.1f} L{x2:.1f},{y2:.1f}"
    parts = [f'<path class="arrow" marker-end="url(#tip)" d="{line}"/>']
    return [*parts, _text(bend + 14, y2 - 5, words, "words")] if words else parts


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
