from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from gateway.demo import v1
from gateway.demo.models import train

MODELS = train()


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> TestClient:
    return await aiohttp_client(v1.app(MODELS))


async def test_it_lists_its_models(client: TestClient) -> None:
    answer = await client.get("/v1/models")
    assert await answer.json() == {"models": ["logistic", "forest"]}


async def test_readiness(client: TestClient) -> None:
    answer = await client.get("/v1/models/forest")
    assert await answer.json() == {"name": "forest", "ready": True}


@pytest.mark.parametrize("name", MODELS)
async def test_predict_gives_the_class_the_model_gives(client: TestClient, name: str) -> None:
    rows = [[6.8, 2.8, 4.8, 1.4], [5, 3, 1, 0]]
    answer = await client.post(f"/v1/models/{name}:predict", json={"instances": rows})
    assert answer.status == 200
    assert answer.content_type == "application/json"
    assert await answer.json() == {"predictions": MODELS[name].labels(rows)}


async def test_the_content_type_of_curl_is_as_good_as_any(client: TestClient) -> None:
    body = b'{"instances": [[6.8, 2.8, 4.8, 1.4]]}'
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await client.post("/v1/models/logistic:predict", data=body, headers=headers)
    assert await answer.json() == {"predictions": ["versicolor"]}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "not JSON"),
        (b"instances", "not JSON"),
        (b'{"instances": [[NaN, 1, 1, 1]]}', "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", 'no "instances"'),
        (b'{"instances": [[1, 2]]}', "row 0 has 2 features"),
        (b'{"instances": [[1, 2, 3, 4, 5]]}', "row 0 has 5 features"),
        (b'{"instances": [["a", 2, 3, 4]]}', "not a float32 number"),
    ],
)
async def test_bad_input_is_400(client: TestClient, body: bytes, complaint: str) -> None:
    answer = await client.post("/v1/models/logistic:predict", data=body)
    assert answer.status == 400
    assert complaint in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/nobody", 404),
        ("POST", "/v1/models/nobody:predict", 404),
        ("GET", "/elsewhere", 404),
        ("GET", "/v1/models/forest:predict", 404),
        ("DELETE", "/v1/models", 405),
    ],
)
async def test_every_other_failure_has_the_same_shape(client: TestClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path, data=b"{}")
    assert answer.status == status
    assert list(await answer.json()) == ["error"]
