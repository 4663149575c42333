from __future__ import annotations

import orjson
import pytest

from gateway.api.face import Face
from gateway.api.v1 import V1
from gateway.errors import GraphNotFound
from gateway.message import Response
from gateway.service import Service
from tests.support.clock import run
from tests.support.service import MockService, answer, ask


async def up() -> bool:
    return True


async def down() -> bool:
    return False


def api(explain: Service | None = None) -> V1:
    graph = MockService().always(answer(b"graph"))
    return V1([Face("iris", graph, up, True, False, explain), Face("dead", graph, down, True, True)])


async def _asked(service: Service) -> Response:
    return await service(ask())


def got(path: str, method: bytes = b"GET", explain: Service | None = None) -> Response:
    methods = api(explain)(path)
    assert methods is not None
    return run(_asked(methods[method]))


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/"])
def test_the_list(path: str) -> None:
    assert got(path).body == b'{"models":["iris","dead"]}'
    assert got(path).headers == [(b"content-type", b"application/json")]


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_a_models_readiness(version: str) -> None:
    ready, dead = got(f"/v1/models/iris{version}"), got(f"/v1/models/dead{version}")
    assert (ready.status, orjson.loads(ready.body)) == (200, {"name": "iris", "ready": True})
    assert (dead.status, orjson.loads(dead.body)) == (503, {"name": "dead", "ready": False})


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_predict_is_the_graph(version: str) -> None:
    assert got(f"/v1/models/iris{version}:predict", b"POST").body == b"graph"


def test_explain_is_the_explainer_or_a_404() -> None:
    explainer = MockService().answers(b"because")
    assert got("/v1/models/iris:explain", b"POST", explainer).body == b"because"
    for method in (b"POST", b"GET"):
        with pytest.raises(GraphNotFound, match="graph iris has no explainer"):
            got("/v1/models/iris:explain", method)


def test_a_graph_that_speaks_v2_only_is_not_there() -> None:
    v2_only = V1([Face("two", MockService(), up, False, True)])
    assert v2_only("/v1/models/other:predict") is not None
    assert run(_asked(v2_only("/v1/models")[b"GET"])).body == b'{"models":[]}'  # type: ignore[index]


@pytest.mark.parametrize("path", ["/v2/models/iris", "/v1", "/v1/models/iris/", "/v1/models/iris/x:predict"])
def test_other_paths_are_not_its_own(path: str) -> None:
    assert api()(path) is None
