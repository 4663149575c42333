import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from gateway.config.json_schema import json_schema, json_schema_text

VALIDATOR = jsonschema.Draft7Validator(json_schema())


def valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(yaml.safe_load(text)))


def test_it_is_draft_7() -> None:
    schema = json_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "$defs" not in json_schema_text()
    jsonschema.Draft7Validator.check_schema(schema)


def test_the_file_beside_the_examples_is_up_to_date() -> None:
    committed = Path(__file__).parents[2] / "config" / "schema.json"
    assert committed.read_text() == json_schema_text(), "run: gateway schema > config/schema.json"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "server: {listen: ':1', workers: auto}",
        "server: {listen: [':1', 'unix:/x'], workers: 2}",
        "server: {workers: '${N}', timeouts: {idle: '${T:-3s}'}, limits: {maxBodyBytes: 100}}",
        "server: {limits: {maxBodyBytes: 1MiB, maxHeaders: '${N:-5}'}}",
        "x-anything: [at, all]",
        "graphs: {g: {nodes: {root: {routerType: '${KIND}', steps: [{serviceName: a, weight: '${W}'}]}}}}",
        "apiVersion: serving.kserve.io/v1alpha1\nkind: InferenceGraph\nmetadata: {name: a, labels: {}}\n"
        "spec: {nodes: {root: {routerType: Ensemble}}, resources: {}}",
    ],
)
def test_what_it_accepts(text: str) -> None:
    assert valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "serverr: {}",
        "router: true",
        "server: {listen: 5}",
        "server: {workers: 0}",
        "server: {timeouts: {idle: 3}}",
        "server: {timeouts: {idle: 3 s}}",
        "server: {limits: {maxBodyBytes: 16MB}}",
        "backends: {a: {url: x, protocol: v3}}",
        "backends: {a: {url: x, batches: {}}}",
        "backends: {a: {url: x, retry: {attempts: 0}}}",
        "backends: {a: {url: x, loadBalancer: {type: Fastest}}}",
        "graphs: {g: {nodes: {root: {steps: []}}}}",
        "apiVersion: serving.kserve.io/v1alpha1\nkind: InferenceGraph\nmetadata: {name: a}\nspec: {}",
    ],
)
def test_what_it_refuses(text: str) -> None:
    assert not valid(text)


def test_defaults_are_as_one_would_write_them() -> None:
    definitions = json.loads(json_schema_text())["definitions"]
    assert definitions["ServerTimeouts"]["properties"]["request"]["default"] == "60s"
    assert definitions["Limits"]["properties"]["maxBodyBytes"]["default"] == "64MiB"
    assert definitions["Limits"]["properties"]["maxHeaders"]["default"] == 100
    assert definitions["Step"]["properties"]["mapPredictionsToInstances"]["default"] is False
