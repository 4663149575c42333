from __future__ import annotations

import pytest

from gateway.upstream.adaptive import Adaptive
from gateway.upstream.pick import Random
from gateway.upstream.settings import Settings

ADAPTIVE = Adaptive(lambda: 0.0)


@pytest.mark.parametrize(
    ("settings", "room"),
    [
        (Settings(picker=Random()), 0),
        (Settings(picker=Random(), queue=7), 0),
        (Settings(picker=Random(), limit=1), 100),
        (Settings(picker=Random(), limit=20), 400),
        (Settings(picker=Random(), limit=20, queue=7), 7),
        (Settings(picker=Random(), hold=5.0), 1000),
        (Settings(picker=Random(), hold=5.0, limit=1), 1000),
        (Settings(picker=Random(), hold=5.0, limit=100), 2000),
        (Settings(picker=Random(), hold=5.0, queue=7), 7),
        (Settings(picker=Random(), adaptive=ADAPTIVE), 2000),
        (Settings(picker=Random(), adaptive=ADAPTIVE, limit=30), 600),
    ],
)
def test_how_many_may_wait_for_two_endpoints(settings: Settings, room: int) -> None:
    assert settings.room(2) == room
