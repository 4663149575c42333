from __future__ import annotations

import pytest

from gateway.errors import UpstreamTimeout
from gateway.layers.chosen import chosen
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual
from tests.support.service import MockService, ask


@virtual
async def test_requests_are_counted_whatever_becomes_of_them() -> None:
    registry = Registry.private()
    service = chosen(registry, "iris", "canary", "v2")(MockService().answers(b"[1]").fails(UpstreamTimeout("late")))
    ((series, cells),) = read(registry.segment)
    assert (series.name, series.labels, cells[0]) == ("gateway_split_total", ("iris", "canary", "v2"), 0.0)
    assert (await service(ask())).body == b"[1]"
    with pytest.raises(UpstreamTimeout):
        await service(ask())
    assert cells[0] == 2.0
