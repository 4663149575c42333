import pytest

from gateway.payload.lost import lost
from gateway.telemetry.metrics import Registry


def test_all_are_counted_and_one_line_a_minute_tells(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    registry = Registry.private()
    counter = registry.counter("gateway_payload_log_dropped_total", sink="s", reason="disk")
    dropped = lost(registry, "s", "disk", lambda: now)
    dropped.add(2, "it is full")
    now = 59.9
    dropped.add(3)
    assert caplog.messages == ["payload log: sink=s dropped=2 reason=disk: it is full"]
    now = 60.0
    dropped.add(4)
    assert caplog.messages[1:] == ["payload log: sink=s dropped=7 reason=disk"]
    assert counter.value == 9


def test_what_was_not_told_is_told_even_if_no_more_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    dropped = lost(Registry.private(), "s", "disk", lambda: now)
    dropped.tell()
    dropped.add(2)
    dropped.add(3)
    now = 59.9
    dropped.tell()
    assert len(caplog.messages) == 1
    now = 60.0
    dropped.tell()
    dropped.tell()
    assert caplog.messages[1:] == ["payload log: sink=s dropped=3 reason=disk"]
