from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from splices import CASES, TOGETHER, once

SPLICES = Path(__file__).parents[2] / "bench" / "splices.py"


@pytest.mark.parametrize("name", CASES)
def test_every_request_gets_its_row(name: str) -> None:
    case = CASES[name]()
    shares = once(case)
    assert len({request.body for request in case.requests}) == len(shares) == TOGETHER
    assert len({share.body for share in shares}) == TOGETHER
    if name.startswith("v1"):
        rows = [json.loads(share.body)["predictions"] for share in shares]
        assert [row for (row,) in rows] == json.loads(case.answer.body)["predictions"]


def test_the_table_has_every_case() -> None:
    command = [sys.executable, str(SPLICES), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    heads, *lines = done.stdout.splitlines()
    assert heads.split()[-4:] == ["member", "merge", "split", "all"]
    assert [line[:30].strip() for line in lines] == list(CASES)
