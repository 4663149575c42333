from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from soak import LOST, NEVER, Call, as_json, by_kind, configuration, seen, soak, table
from trouble import PEACE, TROUBLES, Phase, phases

from gateway.config import load

PLAN = [Phase(PEACE, 0, 1), Phase("killed", 1, 3, 0), Phase(PEACE, 3, 4)]
CALLS = [
    Call(0.5, 0.001, "200"),
    Call(1.0, 0.002, "503"),
    Call(2.0, 0.004, "200"),
    Call(2.9, 0.010, LOST),
    Call(3.0, 0.003, "200"),
    Call(3.5, 0.0, NEVER),
]


def test_trouble_of_each_kind_for_each_endpoint_with_peace_between() -> None:
    plan = phases(600, endpoints=4)
    assert [phase.what for phase in plan[::2]] == [PEACE] * len(plan[::2])
    troubles = plan[1::2]
    assert {(phase.what, phase.endpoint) for phase in troubles} == {(what, n) for what in TROUBLES for n in range(4)}
    assert all(phase.end - phase.begin == 10 for phase in troubles)
    assert all(before.end == after.begin for before, after in pairwise(plan))
    assert (plan[0].begin, plan[-1].end) == (0, 600)
    assert all(phase.end - phase.begin >= 5 for phase in plan[::2])


def test_too_short_for_any_trouble() -> None:
    assert phases(19.9, endpoints=4) == [Phase(PEACE, 0, 19.9)]


def test_what_clients_saw() -> None:
    found = seen(CALLS)
    assert (found.requests, found.success_percent) == (6, 50)
    assert found.failures == {"503": 1, LOST: 1, NEVER: 1}
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (3, 4, 4)
    assert seen([]).success_percent == 0


def test_calls_belong_to_the_phase_in_which_they_were_due() -> None:
    kinds = by_kind(CALLS, PLAN)
    assert {kind: found.requests for kind, found in kinds.items()} == {"all": 6, PEACE: 3, "killed": 3}
    assert kinds["killed"].failures == {"503": 1, LOST: 1}


def test_the_report() -> None:
    report = json.loads(as_json(CALLS, PLAN))
    assert [(phase["what"], phase["requests"]) for phase in report["phases"]] == [(PEACE, 1), ("killed", 3), (PEACE, 2)]
    assert report["kinds"]["killed"]["failures"] == {"503": 1, LOST: 1}
    assert "| killed | 3 | 33.333 | 4.00 | 4.00 | 4.00 | 503: 1, lost: 1 |" in table(by_kind(CALLS, PLAN))


def test_the_file_for_one_endpoint_is_one_that_the_gateway_reads(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(configuration(1, [2], tmp_path)))
    assert load([str(file)], {}).backends["b0"].url == "http://127.0.0.1:2"


@pytest.mark.e2e
def test_one_endpoint_in_each_kind_of_trouble(tmp_path: Path) -> None:
    plan = phases(2.4, endpoints=1, peace=0.4, trouble=0.4)
    kinds = by_kind(soak(plan, 1, rate=100, directory=tmp_path, connections=64), plan)
    assert kinds["all"].requests == 240
    assert kinds[PEACE].success_percent > 0
    assert kinds["killed"].failures["503"] > 0
