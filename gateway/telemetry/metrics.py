"""Counters, gauges and histograms whose numbers live in a segment. Counting never fails."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal

import msgspec

from .exemplars import CELLS, Exemplars
from .names import BUCKETS, METRICS, Kind
from .segment import Segment

log = logging.getLogger("gateway")

Record = Literal["counter", "gauge", "histogram", "exemplars"]
"""What is kept: a metric, or what belongs to a histogram."""


class Series(msgspec.Struct, frozen=True, array_like=True):
    """The key of a record: one metric with one set of label values, in the order of the table."""

    kind: Record
    name: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Cells it takes: one, or for a histogram a bucket per bound, the one above them all, and the sum.

        Exemplars have room for one of each bucket.
        """
        if self.kind == "exemplars":
            return CELLS * (len(self.bounds) + 1)
        return len(self.bounds) + 2 if self.kind == "histogram" else 1

    @property
    def histogram(self) -> Series:
        """The histogram that these exemplars belong to."""
        return msgspec.structs.replace(self, kind="histogram")


_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Series).decode
"""The Series of a record's key."""


class Counter:
    """A number that only grows."""

    __slots__ = ("cells",)

    def __init__(self, cells: memoryview[float]) -> None:
        self.cells = cells

    def add(self, n: float = 1.0) -> None:
        self.cells[0] += n

    @property
    def value(self) -> float:
        return self.cells[0]


class Gauge(Counter):
    """A number that goes up and down."""

    __slots__ = ()

    def set(self, x: float) -> None:
        self.cells[0] = x


class Histogram:
    """Observations counted by size. The buckets in memory do not contain each other; exposition adds them up."""

    __slots__ = ("_bounds", "_cells")

    def __init__(self, cells: memoryview[float], bounds: tuple[float, ...]) -> None:
        self._cells = cells
        self._bounds = bounds

    def observe(self, seconds: float) -> None:
        # A bound belongs to the bucket below it: le means "less or equal".
        self._cells[bisect_left(self._bounds, seconds)] += 1.0
        self._cells[-1] += seconds


class Registry:
    """Hands out the metrics of one segment; the same name and labels always mean the same cells.

    What the segment holds already is taken over: counters go on from where a former owner left them, gauges start at 0.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.buckets: tuple[float, ...] = BUCKETS
        """The bounds of durations: one choice for as long as the segment lasts."""
        self._cells = dict(read(segment))
        self._full = False
        zero_gauges(segment)

    @classmethod
    def private(cls) -> Registry:
        """A registry in this process's own memory."""
        return cls(Segment.private())

    def counter(self, name: str, /, **labels: str) -> Counter:
        return Counter(self._find(_series("counter", name, labels)))

    def gauge(self, name: str, /, **labels: str) -> Gauge:
        return Gauge(self._find(_series("gauge", name, labels)))

    def histogram(self, name: str, bounds: tuple[float, ...], /, **labels: str) -> Histogram:
        """``bounds``: upper limits in ascending order; one bucket more counts what exceeds them all."""
        return Histogram(self._find(_series("histogram", name, labels, bounds)), bounds)

    def duration(self, name: str, /, **labels: str) -> Histogram:
        """A histogram of seconds, with the bounds that the configuration has chosen."""
        return self.histogram(name, self.buckets, **labels)

    def exemplars(self, name: str, bounds: tuple[float, ...], /, **labels: str) -> Exemplars:
        """Room for the exemplars of that histogram."""
        histogram = _series("histogram", name, labels, bounds)
        return Exemplars(self._find(msgspec.structs.replace(histogram, kind="exemplars")), bounds)

    def _find(self, series: Series) -> memoryview[float]:
        cells = self._cells.get(series)
        if cells is None:
            cells = self.segment.append(_encode(series), series.width)
            if cells is None:
                cells = self._uncounted(series)
            self._cells[series] = cells
        return cells

    def _uncounted(self, series: Series) -> memoryview[float]:
        """Cells that nobody reads: losing a metric must not lose a request."""
        if not self._full:
            self._full = True
            log.error("the metrics segment is full: %s and all later series are not exported", series.name)
        return memoryview(bytearray(8 * series.width)).cast("d")


def read(segment: Segment) -> Iterator[tuple[Series, memoryview[float]]]:
    """Every series of ``segment`` with its live cells."""
    for key, cells in segment.records():
        yield decode(key), cells


def zero_gauges(segment: Segment) -> None:
    """Forget what a dead owner had in flight; only its heir, or whoever buried it, may call this."""
    for series, cells in read(segment):
        if series.kind == "gauge":
            cells[0] = 0.0


def _series(kind: Kind, name: str, labels: dict[str, str], bounds: tuple[float, ...] = ()) -> Series:
    metric = METRICS[name]
    if metric.kind != kind or set(metric.labels) != labels.keys():
        raise ValueError(f"{name} is a {metric.kind} with labels {metric.labels}, not a {kind} with {tuple(labels)}")
    return Series(kind, name, tuple(labels[label] for label in metric.labels), bounds)
