"""What the dashboard and the rules in deploy/ ask Prometheus."""

import json
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "inference-gateway.json"
RULES = DEPLOY / "prometheus" / "rules.yaml"


def panels() -> list[dict[str, Any]]:
    """Of the dashboard, in order."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def queries() -> list[str]:
    """All of them, the variables of the dashboard filled in as Grafana would for "All"."""
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    for variable in ("job", "graph", "backend"):
        asked = [query.replace(f"${variable}", ".*") for query in asked]
    return [query.replace("$__rate_interval", "1m") for query in asked] + [rule["expr"].strip() for rule in rules()]
