"""What a case gives back, and how it was asked to measure. Every figure is a median; its samples go along with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

Figures = dict[str, dict[str, float]]
"""By label (a peer, or a variant of the gateway), then by name; the unit ends the name: ``p99_ms``, ``cpu_us``."""


@dataclass(frozen=True)
class Plan:
    """How long to measure: ``rounds`` of ``seconds`` for each contestant, each after ``warm_up`` seconds."""

    rounds: int
    seconds: float
    warm_up: float
    soak: float
    """Seconds of mixed load, over which memory must not grow."""


@dataclass(frozen=True)
class Bench:
    """What a case needs of a run."""

    plan: Plan
    directory: Path
    """For files; gone after the case."""
    say: Callable[[str], None]
    only: frozenset[str] = frozenset()
    """The peers to measure; empty: all."""


@dataclass(frozen=True)
class Outcome:
    """One case, measured."""

    name: str
    title: str
    rows: list[list[str]]
    """The table; its first row are the heads."""
    figures: Figures
    samples: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        """As Markdown: the first column to the left, the others to the right."""
        heads, *rows = self.rows
        ruled = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
        lines = ["| " + " | ".join(row) + " |" for row in ruled]
        return "\n".join([f"### {self.name}: {self.title}\n", *lines, *(f"\n{note}" for note in self.notes), ""])


class Measured(Protocol):
    """A case of whatever kind."""

    name: ClassVar[str] | str
    title: ClassVar[str] | str

    def run(self, bench: Bench) -> Outcome: ...
