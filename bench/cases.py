"""What is asked of every peer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One kind of traffic. ``weights``: the share of each backend; ``body`` holds no single quote."""

    name: str
    title: str
    path: str
    body: str
    weights: tuple[int, ...]


CASES = (
    Case(
        name="splitter",
        title="Splitter 90/10, one core, 64 keep-alive connections, tiny bodies",
        path="/v1/models/iris:predict",
        body='{"instances": [[6.8, 2.8, 4.8, 1.4]]}',
        weights=(90, 10),
    ),
)
