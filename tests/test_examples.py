"""Every example loads as it stands, is what the schema says, and survives the way to a worker."""

from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml

from gateway.config import Config, load
from gateway.config.json_schema import json_schema

EXAMPLES = sorted((Path(__file__).parents[1] / "config").glob("*.yaml"))
each = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 9


@each
def test_it_loads_without_any_environment(example: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load([str(example)], {}).graphs
    assert not caplog.messages


@each
def test_it_travels_unchanged(example: Path) -> None:
    config = load([str(example)], {})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=Config) == config


@each
def test_it_is_what_the_schema_says(example: Path) -> None:
    for document in yaml.safe_load_all(example.read_text()):
        jsonschema.Draft7Validator(json_schema()).validate(document)


@each
def test_it_tells_editors_of_the_schema_and_readers_of_its_point(example: Path) -> None:
    first, second = example.read_text().splitlines()[:2]
    assert first.startswith("# yaml-language-server: $schema=")
    assert second.startswith("# ")


@each
def test_its_backends_can_be_elsewhere(example: Path) -> None:
    """Every URL of the file comes from the environment."""
    urls = [line for line in example.read_text().splitlines() if "http://127.0.0.1:" in line and "url" in line.lower()]
    assert all(":-http://127.0.0.1:90" in line for line in urls)
    assert urls
