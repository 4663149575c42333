from __future__ import annotations

import threading
from queue import Queue

import pytest

from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing.export import Batching, Export, batching
from gateway.telemetry.tracing.span import Span
from tests.support.service import ask
from tests.support.spans import Spans

NEVER = 3600.0


def some(count: int) -> list[Span]:
    spans = [Spans().tracer().begin(ask()) for _ in range(count)]
    return [span for span in spans if span is not None]


class Collector:
    """Takes batches when the test lets it; ``works``: what it answers."""

    def __init__(self) -> None:
        self.batches: Queue[list[Span]] = Queue()
        self.free = threading.Event()
        self.free.set()
        self.works = True

    def __call__(self, spans: list[Span]) -> bool:
        self.batches.put(spans)
        assert self.free.wait(20)
        if not self.works:
            raise OSError("no")
        return True


class Scene:
    def __init__(self, collector: Collector, **settings: float) -> None:
        self.registry = Registry.private()
        self.export = Export(collector, self.registry, Batching(**{"delay": NEVER, **settings}))  # type: ignore[arg-type]

    @property
    def counts(self) -> tuple[float, float, float]:
        """Sent, failed, dropped."""
        name = "gateway_trace_spans_total"
        return (
            self.registry.counter(name, result="success").value,
            self.registry.counter(name, result="failure").value,
            self.registry.counter("gateway_trace_spans_dropped_total").value,
        )


def test_a_full_batch_goes_at_once_and_the_rest_at_the_end() -> None:
    collector = Collector()
    scene = Scene(collector, size=2)
    spans = some(3)
    for span in spans[:2]:
        scene.export(span)
    assert collector.batches.get(timeout=20) == spans[:2]
    scene.export(spans[2])
    assert collector.batches.empty()
    scene.export.close(20)
    assert collector.batches.get_nowait() == spans[2:]
    assert scene.counts == (3, 0, 0)


def test_after_the_delay_few_spans_go_too() -> None:
    collector = Collector()
    scene = Scene(collector, delay=0.001)
    (span,) = some(1)
    scene.export(span)
    assert collector.batches.get(timeout=20) == [span]
    scene.export.close(20)


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    collector = Collector()
    collector.free.clear()
    scene = Scene(collector, room=3, size=2)
    spans = some(7)
    for span in spans[:2]:
        scene.export(span)
    assert collector.batches.get(timeout=20) == spans[:2]
    for span in spans[2:]:
        scene.export(span)
    assert scene.counts == (0, 0, 2)
    assert repr(scene.export) == "<Export 3/3>"
    collector.free.set()
    scene.export.close(20)
    assert scene.counts == (5, 0, 2)


def test_a_failure_is_counted_and_the_next_batch_is_tried(caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    collector.works = False
    scene = Scene(collector, size=1)
    for span in some(2):
        scene.export(span)
        collector.batches.get(timeout=20)
    scene.export.close(20)
    assert scene.counts == (0, 2, 0)
    assert "1 spans could not be sent" in caplog.text


def test_the_end_does_not_wait_for_a_collector_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    collector.free.clear()
    scene = Scene(collector, size=1)
    first, second, late = some(3)
    scene.export(first)
    collector.batches.get(timeout=20)
    scene.export(second)
    scene.export.close(0.01)
    assert "did not take all spans in time" in caplog.text
    scene.export(late)
    assert scene.counts == (0, 0, 2)
    collector.free.set()


def test_settings() -> None:
    assert batching({}) == Batching(2048, 512, 5.0)
    said = {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    assert batching(said) == Batching(100, 100, 0.2)
    assert batching({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "7"}).size == 7


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_nonsense_is_logged(value: str, caplog: pytest.LogCaptureFixture) -> None:
    assert batching({"OTEL_BSP_SCHEDULE_DELAY": value}) == Batching()
    assert f"OTEL_BSP_SCHEDULE_DELAY={value}" in caplog.text
