"""What the documents show works: configurations load, metrics and error codes exist, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gateway import errors
from gateway.config import load
from gateway.telemetry.names import METRICS

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
each = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


CONFIGURATIONS = {
    f"{page.stem}-{number}": text
    for page in PAGES
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL))
    if "backends" in yaml.safe_load(text)
}


@pytest.mark.parametrize("shown", CONFIGURATIONS)
def test_configurations_load(shown: str, tmp_path: Path) -> None:
    text = CONFIGURATIONS[shown]
    (tmp_path / "shown.yaml").write_text(text)
    steps = [{"backend": name} for name in yaml.safe_load(text)["backends"]]
    rest = {"graphs": {"rest": {"nodes": {"root": {"routerType": "Ensemble", "steps": steps}}}}}
    (tmp_path / "rest.yaml").write_text(yaml.safe_dump(rest))
    assert load([str(tmp_path)], {}, faults=True).backends


@each
def test_metrics_exist(page: Path) -> None:
    named = re.findall(r"\bgateway_[a-z_]+", page.read_text())
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= METRICS.keys()


@each
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        place = page.parent / target if target else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall("^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_of_errors_has_every_one_that_clients_see() -> None:
    table = (ROOT / "docs/backends.md").read_text().partition("## What clients see")[2]
    shown = dict(re.findall(r"^\| `(\w+)` \| (\d+|as configured) \|", table, re.MULTILINE))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not errors.GatewayError]
    unseen = (errors.ClientClosed, errors.ConnectionCut, errors.Abandoned)
    assert shown == {
        kind.code: "as configured" if kind is errors.FaultInjected else str(kind.status)
        for kind in kinds
        if issubclass(kind, errors.GatewayError) and kind not in unseen
    }
