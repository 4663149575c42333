from __future__ import annotations

import pytest

from gateway.api.face import Face, Methods, fixed
from gateway.api.router import Router
from gateway.api.v1 import V1
from gateway.api.v2 import V2
from gateway.errors import GraphNotFound, MethodNotAllowed
from gateway.message import Request, Response
from tests.support.clock import run
from tests.support.service import MockService, answer


async def up() -> bool:
    return True


def face(name: str, said: bytes, *, v1: bool = True, v2: bool = True) -> Face:
    return Face(name, MockService().always(answer(said)), up, v1, v2)


def router(default: bytes | None = b"default") -> Router:
    faces = [face("iris", b"iris"), face("one", b"one", v2=False), face("two", b"two", v1=False)]
    fallback = None if default is None else MockService().always(answer(default))
    return Router([V1(faces), V2(faces, lambda: True)], fallback)


async def _ask(asked: Router, method: bytes, target: bytes) -> Response:
    return await asked(Request(method, target, []))


def said(target: bytes, method: bytes = b"POST", asked: Router | None = None) -> bytes:
    return run(_ask(asked or router(), method, target)).body


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/models/iris:predict",
        b"/v1/models/iris:predict?x=1&y=/v1/models/two:predict",
        b"/v1/models/%69ris:predict",
        b"/v1/models/iris%3Apredict",
        b"/v1/models/iris%3apredict",
        b"/v1/models/iris/versions/3:predict",
        b"/v2/models/iris/infer",
        b"/v2/models/iris/infer?x",
        b"/v2/models/%69r%69s/infer",
        b"/v2/models/iris/versions/a.b/infer",
    ],
)
def test_the_ways_to_a_graph(target: bytes) -> None:
    assert said(target) == b"iris"


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"*",
        b"/predict?x=1",
        b"/v1",
        b"/v1/model/iris",
        b"/v1/models/iris/metadata",
        b"/v2/models/iris/generate",
        b"/v2x",
        b"/V1/models/iris:predict",
        b"//v1/models/iris:predict",
        b"/v1/models/../models/iris:predict",
        b"/readyz",
        b"/%ff%fe",
    ],
)
@pytest.mark.parametrize("method", [b"POST", b"GET", b"DELETE", b"HEAD", b"PROPFIND"])
def test_any_other_path_is_the_default_graphs_with_any_method(target: bytes, method: bytes) -> None:
    assert said(target, method) == b"default"


def test_without_a_default_graph_it_is_a_404() -> None:
    with pytest.raises(GraphNotFound):
        said(b"/predict", asked=router(None))


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/models/unknown",
        b"/v1/models/unknown:predict",
        b"/v1/models/unknown:explain",
        b"/v1/models/iris:classify",
        b"/v1/models/llama:7b:predict",
        b"/v1/models/a%2Fb:predict",
        b"/v1/models/a%2fb",
        b"/v1/models/iris%2F",
        b"/v1/models/IRIS:predict",
        b"/v1/models/%ff:predict",
        b"/v1/models/:predict",
        b"/v1/models/unknown/versions/1:predict",
        b"/v2/models/unknown",
        b"/v2/models/unknown/ready",
        b"/v2/models/unknown/infer",
        b"/v2/models/llama:7b/infer",
        b"/v2/models/a%2Fb/infer",
        b"/v2/models/unknown/versions/1/infer",
    ],
)
@pytest.mark.parametrize("method", [b"POST", b"GET", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
def test_a_model_that_nobody_has_never_falls_to_the_default_graph(target: bytes, method: bytes) -> None:
    with pytest.raises(GraphNotFound):
        said(target, method)


def test_a_graph_of_the_other_protocol_says_where_it_is() -> None:
    with pytest.raises(GraphNotFound, match="POST /v1/models/one:predict"):
        said(b"/v2/models/one/infer")
    with pytest.raises(GraphNotFound, match="POST /v2/models/two/infer"):
        said(b"/v1/models/two:predict")


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        (b"GET", b"/v1/models/iris:predict", b"POST"),
        (b"HEAD", b"/v1/models/iris:predict", b"POST"),
        (b"POST", b"/v1/models/iris", b"GET, HEAD"),
        (b"OPTIONS", b"/v1/models", b"GET, HEAD"),
        (b"PUT", b"/v2/models/iris/infer", b"POST"),
        (b"DELETE", b"/v2/models/iris", b"GET, HEAD"),
        (b"POST", b"/v2/health/ready", b"GET, HEAD"),
        (b"GET", b"/v2/repository/index", b"POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(method: bytes, target: bytes, allow: bytes) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        said(target, method)
    assert caught.value.allow == allow


def test_head_is_answered_as_get_is() -> None:
    assert said(b"/v1/models", b"HEAD") == said(b"/v1/models", b"GET") == b'{"models":["iris","one"]}'


def test_the_first_api_that_claims_a_path_has_it() -> None:
    def claims(text: str) -> Methods:
        return {b"GET": fixed(text)}

    asked = Router([lambda path: None, lambda path: claims("a"), lambda path: claims("b")], None)
    assert said(b"/", b"GET", asked) == b'"a"'


def test_what_was_found_is_remembered_but_not_without_end() -> None:
    looked: list[str] = []

    def claim(path: str) -> Methods:
        looked.append(path)
        return {b"GET": fixed(path)}

    asked = Router([claim], None)
    for _ in range(2):
        assert said(b"/often?x=%20", b"GET", asked) == b'"/often"'
    assert looked == ["/often"]
    for number in range(5000):
        asked(Request(b"GET", b"/%d" % number, [])).close()  # type: ignore[attr-defined]
        assert len(asked._known) <= 1024
    assert said(b"/often?x=%20", b"GET", asked) == b'"/often"'
