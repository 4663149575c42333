from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from gateway.demo import v2
from gateway.demo.models import train

MODELS = train()
ROWS = [[6.8, 2.8, 4.8, 1.4], [5.1, 3.5, 1.4, 0.2]]


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "measurements", "shape": [2, 4], "datatype": "FP64", "data": ROWS} | changes


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> TestClient:
    return await aiohttp_client(v2.app(MODELS))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/forest/ready", {"name": "forest", "ready": True}),
        ("/v2/models/forest/versions/1/ready", {"name": "forest", "ready": True}),
    ],
)
async def test_health(client: TestClient, path: str, expected: dict[str, Any]) -> None:
    answer = await client.get(path)
    assert await answer.json() == expected


async def test_the_server_names_itself(client: TestClient) -> None:
    answer = await client.get("/v2")
    assert set(await answer.json()) == {"name", "version", "extensions"}


@pytest.mark.parametrize("path", ["/v2/models/logistic", "/v2/models/logistic/versions/1"])
async def test_metadata_describes_what_infer_takes_and_gives(client: TestClient, path: str) -> None:
    metadata = await (await client.get(path)).json()
    assert metadata["name"] == "logistic"
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "measurements", "datatype": "FP64", "shape": [-1, 4]}]
    answer = await (await client.post(path + "/infer", json={"inputs": [tensor()]})).json()
    described = [(output["name"], output["datatype"], len(output["shape"])) for output in metadata["outputs"]]
    assert described == [(output["name"], output["datatype"], len(output["shape"])) for output in answer["outputs"]]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("data", [ROWS, [*ROWS[0], *ROWS[1]]], ids=["nested", "flat"])
async def test_infer_answers_as_the_model_does(client: TestClient, name: str, data: list[Any]) -> None:
    answer = await client.post(f"/v2/models/{name}/infer", json={"id": "7", "inputs": [tensor(data=data)]})
    assert answer.status == 200
    probabilities = [value for row in MODELS[name].probabilities(ROWS) for value in row]
    assert await answer.json() == {
        "model_name": name,
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "species", "datatype": "BYTES", "shape": [2], "data": ["versicolor", "setosa"]},
            {"name": "probability", "datatype": "FP64", "shape": [2, 3], "data": probabilities},
        ],
    }


async def test_no_id_where_none_was_given(client: TestClient) -> None:
    answer = await client.post("/v2/models/forest/infer", json={"inputs": [tensor()]})
    assert "id" not in await answer.json()


async def test_only_the_outputs_asked_for(client: TestClient) -> None:
    body = {"inputs": [tensor()], "outputs": [{"name": "species"}]}
    answer = await client.post("/v2/models/forest/infer", json=body)
    assert [output["name"] for output in (await answer.json())["outputs"]] == ["species"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"inputs": [tensor()], "id": 7}, "id is not a string"),
        ({"inputs": [tensor()], "outputs": "species"}, "not a list of objects"),
        ({"inputs": [tensor()], "outputs": [{"name": "colour"}]}, "no output 'colour'"),
        ({"inputs": [tensor(shape=[2, 3])]}, "shape"),
        ({}, "inputs is not"),
    ],
)
async def test_bad_input_is_400(client: TestClient, body: dict[str, Any], complaint: str) -> None:
    answer = await client.post("/v2/models/forest/infer", json=body)
    assert answer.status == 400
    assert complaint in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/nobody"),
        ("GET", "/v2/models/nobody/ready"),
        ("POST", "/v2/models/nobody/infer"),
        ("GET", "/v2/models/forest/versions/2"),
        ("POST", "/v2/models/forest/versions/2/infer"),
        ("GET", "/v3"),
    ],
)
async def test_what_is_not_there_is_404(client: TestClient, method: str, path: str) -> None:
    answer = await client.request(method, path, json={"inputs": [tensor()]})
    assert answer.status == 404
    assert list(await answer.json()) == ["error"]
