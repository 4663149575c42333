import asyncio

from gateway.telemetry.lag import INTERVAL, Lag
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual


def observed(registry: Registry) -> tuple[float, float]:
    """How many times, and seconds in all."""
    ((_, cells),) = read(registry.segment)
    return sum(cells[:-1]), cells[-1]


@virtual
async def test_a_loop_that_is_held_up_is_late() -> None:
    registry, loop = Registry.private(), asyncio.get_running_loop()
    held_up = 0.0
    Lag(registry, lambda: loop.time() + held_up)
    assert observed(registry) == (0.0, 0.0)
    await asyncio.sleep(3 * INTERVAL + 0.1)
    assert observed(registry) == (3.0, 0.0)
    held_up = 2.0
    await asyncio.sleep(INTERVAL)
    assert observed(registry) == (4.0, 2.0)
    await asyncio.sleep(INTERVAL)
    assert observed(registry) == (5.0, 2.0)


@virtual
async def test_a_timer_that_rings_early_is_not_late() -> None:
    registry, loop = Registry.private(), asyncio.get_running_loop()
    early = 0.0
    Lag(registry, lambda: loop.time() - early)
    early = 0.001
    await asyncio.sleep(INTERVAL + 0.01)
    assert observed(registry) == (1.0, 0.0)
