from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cases import CASES
from load import answer, body
from peers import Gateway, Setup, Work
from throughput import Throughput

from gateway.config.files import examine

SETUPS = [
    pytest.param(entry.setup, case.weights, id=f"{case.name}: {entry.label}")
    for case in CASES
    if isinstance(case, Throughput)
    for entry in case.entries
    if entry.peer is Gateway and not entry.setup.tls
]


@pytest.mark.parametrize(("setup", "weights"), SETUPS)
def test_the_gateway_accepts_its_configuration(setup: Setup, weights: tuple[int, ...], tmp_path: Path) -> None:
    behind = tuple((9001 + number, weight) for number, weight in enumerate(weights))
    gateway = Gateway(Work(8080, behind, tmp_path, setup), None)
    _, report = examine([gateway.file("gateway.yaml", yaml.safe_dump(gateway.config()))], {})
    assert report.errors == []


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("size", [100, 10 << 10, 1 << 20])
def test_bodies_have_the_size_asked_for_and_are_json(size: int) -> None:
    for text in (body(size), answer(65535, size)):
        assert len(text) == size
        assert json.loads(text)
