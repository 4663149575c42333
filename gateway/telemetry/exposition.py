"""The metrics of all processes as one page. Only the control process imports this: prometheus_client costs memory.

Cells of the same series are summed over the workers, gauges too: in flight here plus in flight there is in flight.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import accumulate, chain, repeat
from operator import attrgetter
from threading import Lock

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import ALLOWUTF8
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from . import exemplars, processes
from .metrics import Series
from .names import METRICS, Kind
from .segment import Segment
from .totals import Total, Totals

_FAMILIES: dict[Kind, Callable[[str, str], Metric]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}

Pids = Callable[[], Mapping[int, int]]
"""Tells the process id of each worker that lives, by slot."""


class Exposition(Collector):
    """Prints the segments, what /proc says of the workers, and the control process's own ``process_*`` figures."""

    def __init__(self, segments: Sequence[Segment], pids: Pids) -> None:
        self._totals = Totals(segments)
        self._pids = pids
        self._page = CollectorRegistry()
        self._page.register(self)
        ProcessCollector(registry=self._page)
        self._printing = Lock()

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics where ``accept`` asks for it, else Prometheus text.

        Exemplars are in OpenMetrics only. Any thread may call.
        """
        encode, content_type = choose_encoder(accept)
        if isinstance(encode, partial):
            # No name of ours needs escaping, and to look at each of their letters for it takes long.
            encode = partial(encode, escaping=ALLOWUTF8)
        with self._printing:
            return encode(self._page), content_type

    def collect(self) -> Iterator[Metric]:
        found: dict[str, list[Sample]] = {name: [] for name in METRICS}
        totals = self._totals.look()
        kept = {total.series.histogram: _newest(total) for total in totals if total.series.kind == "exemplars"}
        sums = ((total.series, total.sum()) for total in totals if total.series.kind != "exemplars")
        for series, cells in chain(sums, processes.figures(self._pids())):
            found[series.name] += _samples(series, cells, kept.get(series, ()))
        for name, samples in found.items():
            if samples:
                yield _family(name, samples)
        threads = processes.look(os.getpid())["threads"]
        yield GaugeMetricFamily("process_threads", "Number of OS threads in the process.", threads)


def _family(name: str, samples: list[Sample]) -> Metric:
    kind, text, _ = METRICS[name]
    family = _FAMILIES[kind](name, text)
    family.samples = samples
    return family


def _samples(series: Series, cells: Sequence[float], kept: Iterable[Exemplar | None]) -> Iterable[Sample]:
    names, labels = _lines(series)
    if series.kind == "histogram":
        buckets = list(accumulate(cells[:-1]))
        cells = [*buckets, buckets[-1], cells[-1]]
    return map(Sample, names, labels, cells, repeat(None), chain(kept, repeat(None)))


@cache
def _lines(series: Series) -> tuple[list[str], list[dict[str, str]]]:
    """Names and labels of the lines that a series is printed as. They never change, and to make them takes long."""
    labels = dict(zip(METRICS[series.name].labels, series.labels, strict=True))
    if series.kind != "histogram":
        return [series.name], [labels]
    bounds = [*map(str, series.bounds), "+Inf"]
    names = [f"{series.name}_bucket"] * len(bounds) + [f"{series.name}_count", f"{series.name}_sum"]
    return names, [*({**labels, "le": bound} for bound in bounds), labels, labels]


def _newest(total: Total) -> list[Exemplar | None]:
    """The last exemplar that any worker has of each bucket."""
    buckets = zip(*map(exemplars.read, total.places), strict=True)
    return [_exemplar(max(filter(None, bucket), key=attrgetter("at"), default=None)) for bucket in buckets]


def _exemplar(found: exemplars.Exemplar | None) -> Exemplar | None:
    if found is None:
        return None
    labels = {"trace_id": found.trace_id.decode(), "span_id": found.span_id.decode()}
    return Exemplar(labels, found.seconds, round(found.at, 3))
