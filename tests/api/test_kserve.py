from __future__ import annotations

import pytest

from gateway.api.kserve import KServeRouter
from gateway.message import Request, Response, header
from tests.support.clock import run
from tests.support.service import MockService, answer


async def _asked(router: KServeRouter, target: bytes, method: bytes) -> Response:
    return await router(Request(method, target, []))


def got(target: bytes, method: bytes = b"POST", *, serving: bool = True) -> Response:
    graph = MockService().always(answer(b"graph"))
    return run(_asked(KServeRouter(graph, lambda: serving), target, method))


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
@pytest.mark.parametrize("target", [b"/readyz", b"/readyz?verbose"])
def test_ready_is_an_empty_200(target: bytes, method: bytes) -> None:
    response = got(target, method)
    assert (response.status, response.headers, response.body) == (200, [], b"")


def test_while_it_shuts_down_it_says_so() -> None:
    response = got(b"/readyz", b"GET", serving=False)
    assert (response.status, response.body) == (503, b"shutting down\n")
    assert response.headers == [(b"content-type", b"text/plain; charset=utf-8")]


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/readyz/",
        b"/v1/models/unknown:predict",
        b"/v2/health/live",
        b"/?x=//",
        b"/a/.hidden",
        b"/a..b",
        b"/...",
        b"*",
    ],
)
@pytest.mark.parametrize("method", [b"POST", b"GET", b"DELETE"])
def test_every_other_path_is_the_graph_with_any_method(target: bytes, method: bytes) -> None:
    assert got(target, method).body == b"graph"


def test_the_graph_goes_on_answering_while_it_shuts_down() -> None:
    assert got(b"/", serving=False).body == b"graph"


@pytest.mark.parametrize(
    ("target", "clean"),
    [
        (b"//", b"/"),
        (b"//a", b"/a"),
        (b"/a//b/", b"/a/b/"),
        (b"/../", b"/"),
        (b"/..", b"/"),
        (b"/a/./b", b"/a/b"),
        (b"/a/b/..", b"/a"),
        (b"/a/b/../", b"/a/"),
        (b"/a/../readyz", b"/readyz"),
        (b"/a//b?x=1&y=//", b"/a/b?x=1&y=//"),
        (b"///evil.example/", b"/evil.example/"),
    ],
)
def test_an_unclean_path_is_sent_to_the_clean_one(target: bytes, clean: bytes) -> None:
    response = got(target)
    assert response.status == 301
    assert header(response.headers, b"location") == clean
