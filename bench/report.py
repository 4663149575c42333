"""Samples to numbers that can be compared: medians, spread and ratios; as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from cases import Case
from runner import Plan, Sample, Samples

COLUMNS = ("peer", "requests/s", "spread", "rounds", "µs CPU", "core", "p50 ms", "p99 ms")

REFERENCES = ("haproxy", "aiohttp_proxy", "floor")

CLAIMS = (("aiohttp_proxy", 3.0), ("haproxy", 0.4))
"""What the gateway promises: at least so many times the throughput of each."""


QUIET = 0.95
"""A sample in which the peer got less of its core than this is left out: it tells of the machine, not of the peer."""


def counted(samples: list[Sample]) -> list[Sample]:
    """The samples that count; all of them where none was quiet."""
    return [sample for sample in samples if sample.core >= QUIET] or samples


def rates(samples: list[Sample]) -> list[float]:
    return [sample.requests_per_second for sample in samples]


def ratio(samples: Samples, name: str, reference: str) -> float | None:
    """The two peers' median throughputs, one over the other; None where one of them was not measured."""
    one, other = (rates(counted(samples.get(peer, []))) for peer in (name, reference))
    return median(one) / median(other) if one and other else None


def table(case: Case, samples: Samples, missing: list[str]) -> str:
    """A Markdown table, one row a peer."""
    heads = [*COLUMNS, *(f"x {name}" for name in REFERENCES)]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *(_row(name, samples) for name in samples)]
    rows += [[name, "missing", *[""] * (len(heads) - 2)] for name in missing]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"{case.title}\n", *lines, "", *_claims(samples)])


def _row(name: str, samples: Samples) -> list[str]:
    own = counted(samples[name])
    errors = sum(sample.errors for sample in samples[name])
    ratios = [ratio(samples, name, reference) for reference in REFERENCES]
    return [
        name + (f" ({errors} errors)" if errors else ""),
        f"{median(rates(own)):,.0f}",
        f"{min(rates(own)):,.0f}-{max(rates(own)):,.0f}",
        f"{len(own)}/{len(samples[name])}",
        f"{median(sample.cpu_us for sample in own):.1f}",
        f"{median(sample.core for sample in own):.0%}",
        f"{median(sample.p50_ms for sample in own):.2f}",
        f"{median(sample.p99_ms for sample in own):.2f}",
        *("" if value is None else f"{value:.2f}" for value in ratios),
    ]


def _claims(samples: Samples) -> list[str]:
    measured = [(name, least, ratio(samples, "gateway", name)) for name, least in CLAIMS]
    return [
        f"gateway >= {least} x {name}: {'yes' if value >= least else 'NO'} ({value:.2f})"
        for name, least, value in measured
        if value is not None
    ]


def save(path: Path, case: Case, plan: Plan, samples: Samples, versions: dict[str, str]) -> None:
    """Everything that was measured, and on what, as JSON."""
    document = {
        "case": asdict(case),
        "plan": asdict(plan),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu_model(), "cores": os.cpu_count(), "kernel": platform.release()},
        "versions": versions,
        "samples": {name: [asdict(sample) for sample in own] for name, own in samples.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
