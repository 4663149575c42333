import re
from pathlib import Path

import yaml

from gateway.config import load
from gateway.telemetry.names import METRICS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def test_the_configuration_in_the_manifest_is_valid_and_fits_the_rest_of_it(tmp_path: Path) -> None:
    documents = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
    (tmp_path / "gateway.yaml").write_text(documents["ConfigMap"]["data"]["gateway.yaml"])
    config = load([str(tmp_path)], {})
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    ports = {port["name"]: f"0.0.0.0:{port['containerPort']}" for port in pod["containers"][0]["ports"]}
    assert ports == {"http": config.server.listen[0], "admin": config.admin.listen}
    assert pod["terminationGracePeriodSeconds"] > config.server.drain.delay + config.server.drain.timeout


def test_the_autoscaler_asks_for_what_the_gateway_counts_and_fits_the_example_that_it_names() -> None:
    spec = yaml.safe_load((DEPLOY / "keda.yaml").read_text())["spec"]
    ((name, backend),) = load([str(ROOT / "config/scale-from-zero.yaml")], {}).backends.items()
    asked = [re.fullmatch(r'sum\((\w+){backend="(\w+)"}\)', one["metadata"]["query"]) for one in spec["triggers"]]
    queries = [found.groups() for found in asked if found]
    assert queries == [("gateway_queue_depth", name), ("gateway_upstream_active_requests", name)]
    assert {metric for metric, _ in queries} <= METRICS.keys()
    assert backend.concurrency is not None
    assert spec["triggers"][1]["metadata"]["threshold"] == str(backend.concurrency.limit)
    assert (spec["minReplicaCount"], backend.hold > spec["pollingInterval"] + 60) == (0, True)
