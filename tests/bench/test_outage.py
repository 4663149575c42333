from __future__ import annotations

import json
from math import inf
from pathlib import Path

import pytest
import yaml
from collector import noted
from logged import configuration
from outage import Account, Load, Story, account, phases, run, shown, table
from soak import LOST, Call

from gateway.config import load
from gateway.payload.content import ENCODINGS
from gateway.payload.dialect import CloudEvent

CALLS = [Call(0.0, 0.5, "200"), Call(0.1, 0.2, "200"), Call(0.2, 0.0, LOST)]
TAKEN = [
    ["io.gateway.inference.request.v1", "a-request", "0"],
    ["io.gateway.inference.response.v1", "a-response", "0"],
    ["io.gateway.inference.request.v1", "b-request", "1"],
]
GOOD = Account(4, 4, 0, 0, 0, 0, 1.0, 1.0)


def told(taken: list[list[str]], death: float | None = None, dropped: float = 0) -> Account:
    return account(CALLS, 10, taken, Story(death, 2.0), dropped, 1 << 20)


def test_the_outage_is_in_the_middle() -> None:
    assert [(phase.what, phase.begin, phase.end) for phase in phases(120, 60)] == [
        ("before", 0, 30),
        ("during", 30, 90),
        ("after", 90, 120),
    ]


def test_the_time_in_which_the_sink_catches_up_is_shown_apart() -> None:
    assert [(phase.what, phase.begin, phase.end) for phase in shown(phases(120, 60), 4.5)][2:] == [
        ("catching up", 90, 94.5),
        ("after", 94.5, 120),
    ]
    assert shown(phases(120, 60), inf)[3].begin == 120


def test_two_events_are_made_of_each_request_that_was_answered() -> None:
    found = told([*TAKEN, ["io.gateway.inference.response.v1", "b-response", "1"]])
    assert (found.made, found.delivered, found.missing, found.duplicates, found.good) == (4, 4, 0, 0, True)
    assert (found.peak_mib, found.behind_s) == (1.0, 2.0)


def test_what_is_missing_what_came_twice_and_what_was_dropped() -> None:
    found = told([*TAKEN, TAKEN[0]])
    assert (found.made, found.delivered, found.missing, found.duplicates, found.good) == (4, 3, 1, 1, False)
    assert not told([*TAKEN, ["io.gateway.inference.response.v1", "b-response", "1"]], dropped=1).good


@pytest.mark.parametrize(("death", "good"), [(0.4, True), (1.2, True), (1.5, False), (0.2, False)])
def test_a_death_may_take_the_events_of_the_second_before_it(death: float, good: bool) -> None:
    found = told(TAKEN, death)
    assert (found.missing, found.good) == (1, good)


def test_every_request_has_its_number_for_an_id() -> None:
    load = Load.__new__(Load)
    load.request = b"POST / HTTP/1.1\r\nhost: x\r\n\r\n{}"
    assert load.message(7) == b"POST / HTTP/1.1\r\nhost: x\r\nx-request-id: 7\r\n\r\n{}"


@pytest.mark.parametrize(("mode", "count"), [("binary", 1), ("structured", 1), ("batched", 3)])
def test_the_collector_reads_all_modes(mode: str, count: int) -> None:
    event = CloudEvent({"specversion": "1.0", "type": "t", "id": "x-1", "correlationid": "7"}, "text/plain", b"{}")
    headers, body = ENCODINGS[mode]([event] * count)
    head = "\r\n".join(["POST / HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())])
    assert noted(head.encode(), body) == b"t x-1 7\n" * count


def test_the_report() -> None:
    text = table(CALLS, phases(0.3, 0.1), GOOD)
    assert "| before | 1 | 100.000 | 500.00 | 500.00 | 500.00 |" in text
    assert "| made | 4 |" in text


def test_its_file_is_one_that_the_gateway_reads(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump(configuration(1, 2, 3, 4, "batched", tmp_path)))
    sink = load([str(file)], {}).payload_log.sinks["audit"]
    assert (sink.content_mode, sink.spool.fsync) == ("batched", 1.0)


@pytest.mark.e2e
@pytest.mark.parametrize("victim", [None, "worker", "gateway"])
def test_a_short_outage(tmp_path: Path, victim: str | None) -> None:
    calls, found = run(phases(4.0, 3.0), 50, 256, "batched", victim, tmp_path)
    assert len(calls) == 200
    assert found.made > 200
    assert found.good, json.dumps(found.__dict__)
