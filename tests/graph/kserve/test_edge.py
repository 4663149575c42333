from __future__ import annotations

import pytest

from gateway.errors import Abandoned, DeadlineExceeded, Overloaded
from gateway.graph.kserve.edge import KServeEdge
from gateway.graph.kserve.errors import NoRoute, RouterError
from tests.support.clock import run
from tests.support.service import MockService, ask


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"a":1}', b"application/json"),
        (b" 1 ", b"application/json"),
        (b'"\xff"', b"application/json"),
        (b"hello", b"text/plain; charset=utf-8"),
        (b"<html>", b"text/html; charset=utf-8"),
        (b"\x89PNG\r\n\x1a\n", b"image/png"),
    ],
)
def test_the_only_header_is_what_the_body_looks_like(body: bytes, kind: bytes) -> None:
    service = MockService().answers(body, 404, [(b"content-type", b"x/y"), (b"set-cookie", b"a=b")])
    result = run(KServeEdge(service)(ask()))
    assert (result.status, result.headers, result.body) == (404, [(b"content-type", kind)], body)


def test_an_empty_body_has_no_type() -> None:
    assert run(KServeEdge(MockService().answers(b"", headers=[(b"content-type", b"x/y")]))(ask())).headers == []


def test_an_error_is_told_with_its_cause() -> None:
    result = run(KServeEdge(MockService().fails(RouterError('Post "http://a?b&c": EOF')))(ask()))
    assert (result.status, result.headers) == (500, [(b"content-type", b"application/json")])
    assert result.body == (b'{"error":"Failed to process request","cause":"Post \\"http://a?b\\u0026c\\": EOF"}')


def test_no_route_at_the_root_is_a_404() -> None:
    result = run(KServeEdge(MockService().fails(NoRoute()))(ask()))
    assert result.status == 404
    assert result.body == (
        b'{"error":"Failed to process request","cause":"None of the routes matched with the switch condition"}'
    )


def test_the_gateways_own_errors_look_the_same() -> None:
    result = run(KServeEdge(MockService().fails(Overloaded()))(ask()))
    assert (result.status, result.body) == (503, b'{"error":"Failed to process request","cause":"Overloaded"}')


@pytest.mark.parametrize("error", [DeadlineExceeded("late", node="n", step="s"), Abandoned("late", node="n", step="s")])
def test_when_the_graphs_time_is_up_there_is_no_answer(error: DeadlineExceeded | Abandoned) -> None:
    with pytest.raises(Abandoned) as caught:
        run(KServeEdge(MockService().fails(error))(ask()))
    assert (caught.value.detail, caught.value.node, caught.value.step) == ("late", "n", "s")


def test_the_stack_shows_through() -> None:
    assert repr(KServeEdge(MockService())).startswith("KServeEdge(<")
