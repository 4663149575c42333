import asyncio
from time import perf_counter

import pytest

from gateway.batching.clock import fine_clock


async def test_it_is_the_loops_time_but_finer() -> None:
    clock = fine_clock()
    assert clock() == pytest.approx(asyncio.get_running_loop().time(), abs=0.1)
    before, started = clock(), perf_counter()
    while clock() == before:
        pass
    assert perf_counter() - started < 0.001
