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


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what happens by itself. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
