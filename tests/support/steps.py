"""Steps as the compiler builds them, with everything but the service left out."""

from __future__ import annotations

from typing import Any

from gateway.graph.step import Step
from gateway.service import Service


def step(service: Service, name: str = "", index: int = 0, **options: Any) -> Step:
    """One step of the node ``n``."""
    shown = name or str(index)
    return Step(
        node="n",
        index=index,
        name=shown,
        key=shown,
        label=f"n={shown}".encode(),
        at=("n", name),
        service=service,
        **options,
    )


def steps(*services: Service, **options: Any) -> list[Step]:
    """One step a service, named by its index; the same options for all."""
    return [step(service, index=index, **options) for index, service in enumerate(services)]
