from pathlib import Path

import yaml

from gateway.config import load

DEPLOY = Path(__file__).parents[1] / "deploy"


def test_the_configuration_in_the_manifest_is_valid_and_fits_the_rest_of_it(tmp_path: Path) -> None:
    documents = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
    (tmp_path / "gateway.yaml").write_text(documents["ConfigMap"]["data"]["gateway.yaml"])
    config = load([str(tmp_path)], {})
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    ports = {port["name"]: f"0.0.0.0:{port['containerPort']}" for port in pod["containers"][0]["ports"]}
    assert ports == {"http": config.server.listen[0], "admin": config.admin.listen}
    assert pod["terminationGracePeriodSeconds"] > config.server.drain.delay + config.server.drain.timeout
