"""What the gateway promises of its speed and its size; each run says of every promise whether it was kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batching import ADAPTIVE_8, ALONE_500, LONE, OFF_8, SIXTEEN, TOGETHER_500
from outcome import Figures

At = tuple[str, str, str]
"""Case, label, figure."""

RATE = "requests_per_second"


@dataclass(frozen=True)
class Claim:
    """``figure`` is at least or at most so much: by itself, over the one at ``over``, or less the one at ``less``."""

    text: str
    figure: At
    at_least: float | None = None
    at_most: float | None = None
    over: At | None = None
    less: At | None = None
    unit: str = ""

    def value(self, measured: Mapping[str, Figures]) -> float | None:
        """None where this run did not measure it."""
        one = _look_up(measured, self.figure)
        if self.less is not None:
            other = _look_up(measured, self.less)
            return None if one is None or other is None else one - other
        if self.over is None or one is None:
            return one
        other = _look_up(measured, self.over)
        return one / other if other and other > 0 else None

    def kept(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    @property
    def bound(self) -> str:
        return f">= {self.at_least:g}{self.unit}" if self.at_least is not None else f"<= {self.at_most:g}{self.unit}"


def _look_up(measured: Mapping[str, Figures], at: At) -> float | None:
    case, label, name = at
    return measured.get(case, {}).get(label, {}).get(name)


def _rate(text: str, case: str, bound: float, label: str, reference: str) -> Claim:
    return Claim(f"{text} x {reference}", (case, label, RATE), at_least=bound, over=(case, reference, RATE))


def _cost(feature: str, bound: float, without: str = "bare") -> Claim:
    """µs of CPU on a request's path."""
    figure, less = ("features", feature, "path_us"), ("features", without, "path_us")
    return Claim(f"{feature}: added CPU a request", figure, at_most=bound, less=less, unit=" µs")


PASS_THROUGH = "pass-through, 64 connections:"

CLAIMS = (
    _rate(PASS_THROUGH, "pass-through-64", 0.55, "gateway", "haproxy"),
    _rate(PASS_THROUGH, "pass-through-64", 4, "gateway", "aiohttp_proxy"),
    _rate(PASS_THROUGH, "pass-through-64", 0.7, "gateway", "floor"),
    _rate("Sequence of 3:", "nodes", 0.3, "Sequence of 3", "pass-through"),
    _rate("Ensemble of 3:", "nodes", 0.3, "Ensemble of 3", "pass-through"),
    _rate("Switch on jmespath:", "nodes", 0.5, "Switch, jmespath", "pass-through"),
    _rate("1 MiB up, bytes a second:", "pass-through-1m-up", 0.5, "gateway", "nginx"),
    _rate("1 MiB down, bytes a second:", "pass-through-1m-down", 0.5, "gateway", "nginx"),
    Claim(
        "1000 nodes x 10 nodes, µs CPU a request",
        ("graph-size", "1000 nodes", "cpu_us"),
        at_most=1.03,
        over=("graph-size", "10 nodes", "cpu_us"),
    ),
    Claim(
        "added p99, each at half of its own capacity, x haproxy's",
        ("latency", "gateway at 50 % of its own", "added_p99_ms"),
        at_most=2,
        over=("latency", "haproxy at 50 % of its own", "added_p99_ms"),
    ),
    _cost("access log", 3),
    _cost("tracing at 1 %", 1),
    _cost("1 KiB, payload log", 8, without="1 KiB each way"),
    Claim("batches of 16: added CPU a request", ("batching", SIXTEEN, "added_cpu_us"), at_most=15, unit=" µs"),
    _rate("batching at an offered 500/s:", "batching", 5, TOGETHER_500, ALONE_500),
    Claim("batching at an offered 500/s: p99", ("batching", TOGETHER_500, "p99_ms"), at_most=60, unit=" ms"),
    Claim("batching: added to a lone client's p50", ("batching", LONE, "added_p50_ms"), at_most=0.5, unit=" ms"),
    _rate("batching for 8 clients:", "batching", 1.2, ADAPTIVE_8, OFF_8),
    Claim("an idle worker (RSS)", ("memory", "idle worker", "rss_mib"), at_most=60, unit=" MiB"),
    Claim("an idle client connection", ("memory", "idle connection", "kib_each"), at_most=12, unit=" KiB"),
    Claim("growth over the soak", ("memory", "soak", "growth"), at_most=0.02),
    Claim("exec to first answer", ("start", "exec to first answer", "seconds"), at_most=1, unit=" s"),
    Claim("gateway check, 1000 nodes", ("start", "gateway check, 1000 nodes", "seconds"), at_most=1, unit=" s"),
)


@dataclass(frozen=True)
class Verdict:
    """A claim and what became of it; ``kept`` is None where it was not measured."""

    text: str
    bound: str
    value: float | None
    kept: bool | None

    def line(self) -> str:
        if self.value is None:
            return f"{self.text} {self.bound}: not measured"
        return f"{self.text} {self.bound}: {'yes' if self.kept else 'NO'} ({self.value:.3g})"


def verdicts(measured: Mapping[str, Figures]) -> list[Verdict]:
    """Of all claims, in their order; ``measured`` holds the figures by case."""
    found = [(claim, claim.value(measured)) for claim in CLAIMS]
    return [Verdict(c.text, c.bound, value, None if value is None else c.kept(value)) for c, value in found]
