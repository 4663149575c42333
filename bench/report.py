"""The run as one JSON document: figures, samples, claims, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from claims import Verdict
from outcome import Outcome, Plan


def document(
    plan: Plan, outcomes: Sequence[Outcome], verdicts: Sequence[Verdict], versions: dict[str, str]
) -> dict[str, object]:
    """Everything that was measured, and on what."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu_model(), "cores": os.cpu_count(), "kernel": platform.release()},
        "plan": asdict(plan),
        "versions": versions,
        "claims": [asdict(verdict) for verdict in verdicts],
        "cases": {outcome.name: _case(outcome) for outcome in outcomes},
    }


def _case(outcome: Outcome) -> dict[str, object]:
    return {"title": outcome.title, "figures": outcome.figures, "samples": outcome.samples, "notes": outcome.notes}


def save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def as_json(content: dict[str, object]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
