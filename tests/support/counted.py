"""What a registry has counted, and waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.telemetry.metrics import Registry, read
from gateway.telemetry.names import METRICS


def total(registry: Registry, name: str, **labels: str) -> float:
    """The sum of a counter's or gauge's series that have those labels."""
    names = METRICS[name].labels
    return sum(
        cells[0]
        for series, cells in read(registry.segment)
        if series.name == name and labels.items() <= dict(zip(names, series.labels, strict=True)).items()
    )


def observed(registry: Registry, name: str) -> tuple[float, float]:
    """How often a histogram was told something, and the sum of that, whatever the labels."""
    found = [list(cells) for series, cells in read(registry.segment) if series.name == name]
    return sum(sum(cells[:-1]) for cells in found), sum(cells[-1] for cells in found)


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what happens by itself. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
