from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway import __version__
from gateway.api.face import Face
from gateway.api.v2 import V2
from gateway.errors import NoHealthyUpstream
from gateway.message import Response
from gateway.service import Service
from tests.support.clock import run
from tests.support.service import MockService, answer, ask


async def up() -> bool:
    return True


async def down() -> bool:
    return False


GRAPH = MockService().always(answer(b"graph"))
IRIS = Face("iris", GRAPH, up, True, True)
DEAD = Face("dead", GRAPH, down, True, True)
V1_ONLY = Face("old", GRAPH, up, True, False)
KNOWN = {"name": "iris", "versions": [], "platform": "inference-gateway", "inputs": [], "outputs": []}


async def _asked(service: Service) -> Response:
    return await service(ask())


def got(path: str, *faces: Face, method: bytes = b"GET", serving: bool = True) -> tuple[int, Any]:
    methods = V2(faces or (IRIS, DEAD, V1_ONLY), lambda: serving)(path)
    assert methods is not None
    response = run(_asked(methods[method]))
    assert response.headers == [(b"content-type", b"application/json")]
    return response.status, orjson.loads(response.body)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_servers_metadata(path: str) -> None:
    status, server = got(path)
    assert (status, server["name"], server["version"]) == (200, "inference-gateway", __version__)
    assert server["extensions"] == ["binary_tensor_data", "model_repository"]


def test_live_is_live_even_while_draining() -> None:
    assert got("/v2/health/live", serving=False) == (200, {"live": True})


def test_ready_while_it_serves_and_some_graph_can_answer() -> None:
    assert got("/v2/health/ready") == (200, {"ready": True})
    assert got("/v2/health/ready", DEAD, V1_ONLY) == (200, {"ready": True})
    assert got("/v2/health/ready", DEAD) == (503, {"ready": False})
    assert got("/v2/health/ready", serving=False) == (503, {"ready": False})


def test_the_list() -> None:
    assert got("/v2/models") == (200, {"models": ["iris", "dead"]})


@pytest.mark.parametrize("version", ["", "/versions/2"])
def test_a_models_readiness(version: str) -> None:
    assert got(f"/v2/models/iris{version}/ready") == (200, {"name": "iris", "ready": True})
    assert got(f"/v2/models/dead{version}/ready") == (503, {"name": "dead", "ready": False})


@pytest.mark.parametrize("version", ["", "/versions/2"])
def test_infer_is_the_graph(version: str) -> None:
    methods = V2([IRIS], lambda: True)(f"/v2/models/iris{version}/infer")
    assert methods == {b"POST": GRAPH}


def test_the_repositorys_index() -> None:
    assert got("/v2/repository/index", method=b"POST") == (
        200,
        [
            {"name": "iris", "version": "", "state": "READY", "reason": ""},
            {
                "name": "dead",
                "version": "",
                "state": "UNAVAILABLE",
                "reason": "no backend that it needs can be reached",
            },
        ],
    )


def described_by(service: Service | None) -> Face:
    return Face("iris", GRAPH, up, True, True, None, service)


@pytest.mark.parametrize("version", ["", "/versions/2"])
def test_metadata_is_the_backends_under_the_graphs_name(version: str) -> None:
    text = b'{"name":"m","versions":["1"],"platform":"onnx","inputs":[{"name":"x","datatype":"FP32","shape":[-1]}]}'
    status, found = got(f"/v2/models/iris{version}", described_by(MockService().answers(text)))
    assert (status, found) == (200, orjson.loads(text) | {"name": "iris"})


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"<html>", b'{"name":'])
def test_where_the_backends_is_none_the_gateway_says_what_it_knows(text: bytes) -> None:
    assert got("/v2/models/iris", described_by(MockService().answers(text))) == (200, KNOWN)


def test_without_a_backend_that_has_metadata_too() -> None:
    assert got("/v2/models/iris", described_by(None)) == (200, KNOWN)


def test_a_backends_refusal_is_passed_on() -> None:
    refusal = answer(b'{"error":"no"}', 404, [(b"content-type", b"application/json")])
    assert got("/v2/models/iris", described_by(MockService().does(refusal))) == (404, {"error": "no"})


def test_a_backend_without_an_answer_is_an_error() -> None:
    with pytest.raises(NoHealthyUpstream):
        got("/v2/models/iris", described_by(MockService().fails(NoHealthyUpstream())))


@pytest.mark.parametrize("path", ["/v1/models/iris", "/v2x", "/v2/models/iris/", "/v2/models/iris/versions/1/x", "/"])
def test_other_paths_are_not_its_own(path: str) -> None:
    assert V2([IRIS], lambda: True)(path) is None
