from __future__ import annotations

import threading
from queue import Queue

import msgspec
import pytest

from gateway.telemetry.metrics import Registry
from gateway.telemetry.tracing.export import Batching, Export, batching
from gateway.telemetry.tracing.span import Ended
from tests.support.service import ask
from tests.support.spans import Spans

NEVER = 3600.0


def some(count: int) -> list[Ended]:
    spans = [Spans().tracer().begin(ask()) for _ in range(count)]
    return [span.ended() for span in spans if span is not None]


class Collector:
    """Takes batches when the test lets it; ``works``: what it answers."""

    def __init__(self) -> None:
        self.batches: Queue[list[Ended]] = Queue()
        self.free = threading.Event()
        self.free.set()
        self.works = True

    def __call__(self, spans: list[Ended]) -> bool:
        self.batches.put(spans)
        assert self.free.wait(20)
        if not self.works:
            raise OSError("no")
        return True


class Scene:
    def __init__(self, collector: Collector, **settings: float) -> None:
        self.registry = Registry.private()
        batching = Batching(**{"delay": NEVER, **settings})  # type: ignore[arg-type]
        self.export = Export(lambda: collector, self.registry, batching)

    def take(self, *spans: Ended) -> None:
        self.export.take(len(spans), msgspec.msgpack.encode(spans))

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
        scene.take(span)
    assert collector.batches.get(timeout=20) == spans[:2]
    scene.take(spans[2])
    assert collector.batches.empty()
    scene.export.close(20)
    assert collector.batches.get_nowait() == spans[2:]
    assert scene.counts == (3, 0, 0)


def test_after_the_delay_few_spans_go_too() -> None:
    collector = Collector()
    scene = Scene(collector, delay=0.001)
    (span,) = some(1)
    scene.take(span)
    assert collector.batches.get(timeout=20) == [span]
    scene.export.close(20)


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    collector = Collector()
    collector.free.clear()
    scene = Scene(collector, room=3, size=2)
    spans = some(7)
    for span in spans[:2]:
        scene.take(span)
    assert collector.batches.get(timeout=20) == spans[:2]
    for span in spans[2:]:
        scene.take(span)
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
        scene.take(span)
        collector.batches.get(timeout=20)
    scene.export.close(20)
    assert scene.counts == (0, 2, 0)
    assert "1 spans could not be sent" in caplog.text


def test_the_end_does_not_wait_for_a_collector_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    collector = Collector()
    collector.free.clear()
    scene = Scene(collector, size=1)
    first, second, late = some(3)
    scene.take(first)
    collector.batches.get(timeout=20)
    scene.take(second)
    scene.export.close(0.01)
    assert "did not take all spans in time" in caplog.text
    scene.take(late)
    assert scene.counts == (0, 0, 2)
    collector.free.set()


def test_many_at_once_are_sent_in_batches() -> None:
    collector = Collector()
    scene = Scene(collector, size=2)
    spans = some(5)
    scene.take(*spans)
    scene.export.close(20)
    assert [collector.batches.get_nowait() for _ in range(3)] == [spans[:2], spans[2:4], spans[4:]]
    assert (scene.counts, repr(scene.export)) == ((5, 0, 0), "<Export 0/2048>")


def test_spans_that_are_dropped_together_are_counted_one_by_one() -> None:
    scene = Scene(Collector(), room=3)
    scene.take(*some(4))
    scene.export.close(20)
    assert scene.counts == (0, 0, 4)


def test_without_an_exporter_spans_fail(caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> Collector:
        raise ValueError("'brotli' is not a valid Compression")

    registry = Registry.private()
    export = Export(refuse, registry, Batching())
    export.take(1, msgspec.msgpack.encode(some(1)))
    export.close(20)
    assert registry.counter("gateway_trace_spans_total", result="failure").value == 1
    assert "no traces are sent" in caplog.text


def test_settings() -> None:
    assert batching({}) == Batching(2048, 512, 5.0)
    said = {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    assert batching(said) == Batching(100, 100, 0.2)
    assert batching({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "7"}).size == 7


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_nonsense_is_logged(value: str, caplog: pytest.LogCaptureFixture) -> None:
    assert batching({"OTEL_BSP_SCHEDULE_DELAY": value}) == Batching()
    assert f"OTEL_BSP_SCHEDULE_DELAY={value}" in caplog.text
