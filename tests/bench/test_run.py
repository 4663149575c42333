"""The whole bench as its users start it; what needs wrk and nginx is left out where they are not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "bench" / "run.py"

pytestmark = pytest.mark.e2e


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(RUN), *arguments], capture_output=True, text=True, timeout=60)


def test_the_cases_can_be_listed() -> None:
    assert "pass-through-64" in bench("--list").stdout


def test_an_unknown_case_is_refused() -> None:
    assert bench("--only", "nothing").returncode == 2


@pytest.mark.skipif(not all(map(shutil.which, ("wrk", "nginx", "openssl"))), reason="needs wrk, nginx and openssl")
def test_a_case_runs_and_leaves_its_figures_and_a_picture(tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    done = bench("--quick", "--only", "pass-through-1", "--peers", "gateway", "floor", "--output", str(output))
    assert done.returncode == 0, done.stderr
    figures = json.loads(output.read_text())["cases"]["pass-through-1"]["figures"]
    assert set(figures) == {"gateway", "floor"}
    assert all(one["requests_per_second"] > 0 and one["errors"] == 0 for one in figures.values())
    assert output.with_suffix(".svg").read_text().startswith("<svg")
