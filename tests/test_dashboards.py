"""deploy/grafana and deploy/prometheus: what they ask for exists, and the rules do as their tests say."""

import json
import re
import subprocess
from pathlib import Path
from shutil import which

import pytest
import yaml

from gateway.telemetry.names import METRICS
from tests.support.queries import DASHBOARD, RULES, alerts, panels, queries

promtool = pytest.mark.skipif(which("promtool") is None, reason="promtool is part of Prometheus")


@pytest.mark.parametrize("query", queries())
def test_every_metric_that_is_asked_for_exists(query: str) -> None:
    names = re.findall(r"\bgateway_[a-z_]+", re.sub(r"\w+:gateway_\w+:\w+", "", query))
    known = METRICS.keys() | {
        f"{name}_{part}"
        for name, metric in METRICS.items()
        if metric.kind == "histogram"
        for part in ("bucket", "sum", "count")
    }
    assert set(names) <= known
    assert names or ":" in query


def test_every_recorded_series_that_is_asked_for_is_recorded() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    assert set(re.findall(r"\w+:gateway_\w+:\w+", " ".join(queries()))) == recorded


def test_panels_have_places_of_their_own_and_the_data_source_that_was_chosen() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in columns for y in lines}
        assert not cells & taken, panel["title"]
        assert max(columns) < 24
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert len({panel["title"] for panel in panels()}) == len(panels())


def test_the_panels_of_requests_latencies_show_exemplars() -> None:
    shown = [target["expr"] for panel in panels() for target in panel.get("targets", ()) if target.get("exemplar")]
    assert len(shown) == 2
    assert all("gateway_request_duration_seconds_bucket" in query for query in shown)  # no other has any


def test_all_that_is_counted_of_batching_is_on_the_dashboard() -> None:
    asked = " ".join(queries())
    assert all(name in asked for name in METRICS if name.startswith("gateway_batch_"))


def test_the_dashboard_asks_for_every_variable_that_it_has() -> None:
    text = DASHBOARD.read_text()
    for variable in json.loads(text)["templating"]["list"]:
        assert f"${variable['name']}" in text or f"${{{variable['name']}}}" in text


def test_every_alert_is_in_the_runbook_and_has_a_test_of_its_own() -> None:
    page = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
    tests = (RULES.parent / "rules_test.yaml").read_text()
    for alert in alerts():
        name, severity = alert["alert"], alert["labels"]["severity"]
        assert re.fullmatch("Gateway[A-Z][A-Za-z]+", name)
        assert severity in ("page", "ticket")
        assert f"| `{name}` | {severity} | " in page
        assert alert["annotations"]["runbook"] == "docs/operations.md#alerts"
        assert name in tests


@promtool
@pytest.mark.parametrize("command", [("check", "rules", "rules.yaml"), ("test", "rules", "rules_test.yaml")])
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *command],
        cwd=RULES.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "SUCCESS" in done.stdout
