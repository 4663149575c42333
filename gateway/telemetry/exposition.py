"""The metrics of all processes as one page. Only the control process imports this: prometheus_client costs memory.

Cells of the same series are summed over the workers, gauges too: in flight here plus in flight there is in flight.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import add

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .metrics import Series, decode
from .names import METRICS
from .segment import Segment

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

Pids = Callable[[], Mapping[int, int]]
"""Tells the process id of each worker that lives, by slot."""


class Exposition(Collector):
    """Prints the segments, what /proc says of the workers, and the control process's own ``process_*`` figures."""

    def __init__(self, segments: Sequence[Segment], pids: Pids) -> None:
        self._segments = segments
        self._pids = pids
        self._page = CollectorRegistry()
        self._page.register(self)
        ProcessCollector(registry=self._page)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics where ``accept`` asks for it, else Prometheus text."""
        encode, content_type = choose_encoder(accept)
        return encode(self._page), content_type

    def collect(self) -> Iterator[Metric]:
        found: dict[str, list[tuple[Series, list[float]]]] = {name: [] for name in METRICS}
        for series, cells in (*_sum(self._segments), *_processes(self._pids())):
            found[series.name].append((series, cells))
        for name, all_of_it in found.items():
            if all_of_it:
                yield _family(name, all_of_it)


def _sum(segments: Iterable[Segment]) -> Iterator[tuple[Series, list[float]]]:
    # By the keys as they are in memory: to decode them takes longer than all the rest.
    sums: dict[bytes, list[float]] = {}
    for segment in segments:
        for key, cells in segment.records():
            former = sums.get(key)
            sums[key] = list(cells) if former is None else list(map(add, former, cells))
    return ((decode(key), cells) for key, cells in sums.items())


def _processes(pids: Mapping[int, int]) -> Iterator[tuple[Series, list[float]]]:
    for slot, pid in pids.items():
        try:
            with open(f"/proc/{pid}/stat", "rb") as stat, open(f"/proc/{pid}/statm", "rb") as statm:
                # The command, in brackets, may hold spaces; utime and stime are fields 14 and 15 (proc_pid_stat(5)).
                ticks = stat.read().rpartition(b")")[2].split()[11:13]
                resident = statm.read().split()[1]
        except OSError:
            continue  # It died meanwhile.
        yield Series("counter", "gateway_worker_cpu_seconds_total", (str(slot),)), [sum(map(int, ticks)) / _TICK]
        yield Series("gauge", "gateway_worker_memory_bytes", (str(slot),)), [float(int(resident) * _PAGE)]


def _family(name: str, found: list[tuple[Series, list[float]]]) -> Metric:
    kind, text, labels = METRICS[name]
    if kind == "histogram":
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for series, cells in found:
            histogram.add_metric(series.labels, _cumulated(series.bounds, cells), cells[-1])
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, text, labels=labels)
    for series, cells in found:
        family.add_metric(series.labels, cells[0])
    return family


def _cumulated(bounds: tuple[float, ...], cells: list[float]) -> list[tuple[str, float]]:
    return list(zip([*map(str, bounds), "+Inf"], accumulate(cells[:-1]), strict=True))
