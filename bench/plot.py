"""The figures of a run as one SVG: bars for each case, lines for the latency. It knows only the JSON of a run.

.venv/bin/python bench/plot.py bench/results/0.1.0.json > picture.svg
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from outcome import Figures

WIDTH = 960
LEFT = 190
RIGHT = 200
BAR = 13
COLOURS = {
    "gateway": "#d9480f",
    "haproxy": "#1971c2",
    "nginx": "#2b8a3e",
    "floor": "#868e96",
    "aiohttp_proxy": "#9c36b5",
}
OTHER = "#d9480f"
INK, FAINT = "#212529", "#ced4da"

QUANTILES = (("added_p50_ms", "p50"), ("added_p99_ms", "p99"), ("added_p99_9_ms", "p99.9"))

Bar = tuple[str, float, str, str]
"""Label, length, what is written at its end, colour."""


class Sheet:
    """Elements from the top down; ``y`` is where the next one goes."""

    def __init__(self) -> None:
        self.elements: list[str] = []
        self.y = 36.0

    def text(
        self, x: float, y: float, what: str, size: int = 12, anchor: str = "start", weight: str = "normal"
    ) -> None:
        style = f'font-size="{size}" text-anchor="{anchor}" font-weight="{weight}"'
        self.elements.append(f'<text x="{x:.1f}" y="{y:.1f}" {style} fill="{INK}">{escape(what)}</text>')

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"'
        self.elements.append(f'<rect {place} fill="{colour}"/>')

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1) -> None:
        where = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.elements.append(f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="{width}"/>')

    def heading(self, title: str, below: str = "") -> None:
        self.y += 24
        self.text(16, self.y, title, 15, weight="bold")
        if below:
            self.y += 17
            self.text(16, self.y, below, 11)
        self.y += 12

    def bars(self, bars: Iterable[Bar], longest: float) -> None:
        """Drawn to the scale on which ``longest`` fills the width."""
        for label, length, note, colour in bars:
            width = length / longest * (WIDTH - LEFT - RIGHT)
            self.text(LEFT - 6, self.y + BAR - 3, label, 11, "end")
            self.rectangle(LEFT, self.y, width, BAR - 2, colour)
            self.text(LEFT + width + 5, self.y + BAR - 3, note, 11)
            self.y += BAR + 2
        self.y += 8

    def svg(self) -> str:
        size = f'width="{WIDTH}" height="{self.y + 16:.0f}" viewBox="0 0 {WIDTH} {self.y + 16:.0f}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif">'
        return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *self.elements, "</svg>"]) + "\n"


def draw(title: str, measured: dict[str, Figures], titles: dict[str, str]) -> str:
    """The picture of a run; a case that it did not measure is left out."""
    sheet = Sheet()
    sheet.text(16, 26, title, 17, weight="bold")
    _peers(sheet, {name: own for name, own in measured.items() if "haproxy" in own and "gateway" in own}, titles)
    for name in ("nodes", "graph-size", "features", "workers"):
        if name in measured:
            _variants(sheet, titles[name], measured[name])
    if "latency" in measured:
        _latency(sheet, titles["latency"], measured["latency"])
    return sheet.svg()


def _peers(sheet: Sheet, measured: dict[str, Figures], titles: dict[str, str]) -> None:
    if not measured:
        return
    sheet.heading("Throughput, as a ratio to haproxy", "One core each. At the end of a bar: ratio, requests/s, µs CPU.")
    ratios = {
        name: {label: one["requests_per_second"] / own["haproxy"]["requests_per_second"] for label, one in own.items()}
        for name, own in measured.items()
    }
    longest = max(value for own in ratios.values() for value in own.values())
    for name, own in measured.items():
        sheet.y += 14
        sheet.text(LEFT, sheet.y - 4, titles[name], 11)
        sheet.bars((_bar(label, ratios[name][label], one) for label, one in own.items()), longest)


def _bar(label: str, ratio: float, one: dict[str, float]) -> Bar:
    note = f"{ratio:.2f} · {one['requests_per_second']:,.0f}/s · {one['cpu_us']:.1f} µs"
    return label, ratio, note, COLOURS.get(label, OTHER)


def _variants(sheet: Sheet, title: str, own: Figures) -> None:
    sheet.heading("µs CPU of the gateway for each request", title)
    longest = max(one["cpu_us"] for one in own.values())
    first = next(iter(own.values()))["cpu_us"]
    sheet.bars(
        (
            (label, one["cpu_us"], f"{one['cpu_us']:.1f} µs ({one['cpu_us'] - first:+.1f})", OTHER)
            for label, one in own.items()
        ),
        longest,
    )


def _latency(sheet: Sheet, title: str, figures: Figures) -> None:
    """A panel for each quantile: ms against the share of each peer's own capacity, the ms on a logarithmic scale."""
    lines = _lines(figures)
    values = [value for own in lines.values() for line in own.values() for _, value in line]
    if not values:
        return
    sheet.heading("Added latency, ms, against the share of one's own capacity", title)
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
    panel, height = (WIDTH - 80) / len(QUANTILES), 220.0
    for number, (name, label) in enumerate(QUANTILES):
        _panel(sheet, 56 + number * panel, panel - 44, height, label, lines[name], (low, max(high, low + 1)))
    sheet.y += height + 40
    for number, peer in enumerate(dict.fromkeys(peer for own in lines.values() for peer in own)):
        sheet.rectangle(56 + number * 120, sheet.y - 9, 10, 10, COLOURS.get(peer, OTHER))
        sheet.text(71 + number * 120, sheet.y, peer)


Lines = dict[str, list[tuple[float, float]]]
"""By peer: share of the capacity, added ms."""


def _lines(figures: Figures) -> dict[str, Lines]:
    found: dict[str, Lines] = {name: {} for name, _ in QUANTILES}
    for label, one in figures.items():
        peer, _, where = label.partition(" at ")
        if not where.endswith("its own"):
            continue
        for name, line in found.items():
            if one.get(name, 0) > 0:  # noise, or a rate that could not be kept: nothing a logarithm could show
                line.setdefault(peer, []).append((one["share"], one[name]))
    return found


def _panel(
    sheet: Sheet, left: float, width: float, height: float, label: str, lines: Lines, decades: tuple[int, int]
) -> None:
    low, high = decades
    top, bottom = sheet.y + 14, sheet.y + height

    def y(value: float) -> float:
        return bottom - (math.log10(value) - low) / (high - low) * (bottom - top)

    sheet.text(left + width / 2, sheet.y + 6, label, 12, "middle", "bold")
    for decade in range(low, high + 1):
        sheet.line([(left, y(10.0**decade)), (left + width, y(10.0**decade))], FAINT)
        sheet.text(left - 5, y(10.0**decade) + 4, f"{10.0**decade:g}", 11, "end")
    for share in (0.2, 0.5, 0.8):
        sheet.text(left + share * width, bottom + 16, f"{share:.0%}", 11, "middle")
    for peer, line in lines.items():
        points = [(left + share * width, y(value)) for share, value in line]
        sheet.line(points, COLOURS.get(peer, OTHER), 2)
        for x, height_of in points:
            sheet.rectangle(x - 3, height_of - 3, 6, 6, COLOURS.get(peer, OTHER))


def picture(run: dict[str, object]) -> str:
    """The SVG of a run's document, as report.py makes it."""
    cases: dict[str, dict[str, object]] = run["cases"]  # type: ignore[assignment]
    measured: dict[str, Figures] = {name: case["figures"] for name, case in cases.items()}  # type: ignore[misc]
    versions: dict[str, str] = run["versions"]  # type: ignore[assignment]
    return draw(
        f"Inference gateway {versions['gateway']}", measured, {name: str(case["title"]) for name, case in cases.items()}
    )


if __name__ == "__main__":
    sys.stdout.write(picture(json.loads(Path(sys.argv[1]).read_text())))
