from __future__ import annotations

import re

import orjson
import pytest

from gateway import errors
from gateway.errors import Abandoned, FaultInjected, GatewayError, InternalError, MethodNotAllowed, UpstreamTimeout
from gateway.message import header
from gateway.problem import TYPE_BASE, problem

EVERY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_can_be_answered(kind: type[GatewayError]) -> None:
    response = problem(kind("why"), b"id-1")
    found = orjson.loads(response.body)
    assert response.status == kind.status == found["status"]
    assert 400 <= kind.status <= 599
    assert re.fullmatch("[a-z0-9_]+", kind.code)
    assert found["type"] == TYPE_BASE + kind.code
    assert found["title"] == kind.title
    assert kind.title
    assert (found["detail"], found["error"], found["requestId"]) == ("why", "why", "id-1")
    assert (kind.__doc__ or "").strip()


def test_the_tree_is_flat_and_the_codes_differ() -> None:
    assert all(kind.__base__ is GatewayError for kind in EVERY if kind is not GatewayError)
    codes = [kind.code for kind in EVERY if kind not in (GatewayError, InternalError)]
    assert len(set(codes)) == len(codes)


def test_only_what_no_backend_can_have_acted_on_is_retryable() -> None:
    retryable = {kind.code for kind in EVERY if kind.retryable}
    assert retryable == {
        "upstream_connect_failure",
        "no_healthy_upstream",
        "overload",
        "upstream_overflow",
        "queue_timeout",
        "queue_too_long",
    }


def test_the_place_nearest_to_the_failure_is_kept() -> None:
    error = UpstreamTimeout("late").at(("inner", "a")).at(("root", "b"))
    assert (error.node, error.step) == ("inner", "a")
    named = UpstreamTimeout("late", node="n", step="s").at(("root", "b"))
    assert (named.node, named.step) == ("n", "s")


def test_without_a_detail_the_title_says_it_and_empty_members_are_left_out() -> None:
    assert orjson.loads(problem(Abandoned()).body) == {
        "type": "urn:inference-gateway:error:abandoned",
        "title": "Abandoned",
        "status": 504,
        "detail": "Abandoned",
        "code": "abandoned",
        "error": "Abandoned",
    }


def test_a_status_that_is_not_the_kinds_own() -> None:
    response = problem(FaultInjected("why"), status=418)
    assert response.status == orjson.loads(response.body)["status"] == 418


def test_headers_that_go_with_an_error() -> None:
    assert header(problem(UpstreamTimeout(retry_after=0)).headers, b"retry-after") == b"0"
    assert header(problem(UpstreamTimeout()).headers, b"retry-after") is None
    assert header(problem(MethodNotAllowed(allow=b"GET, HEAD")).headers, b"allow") == b"GET, HEAD"
    assert header(problem(UpstreamTimeout()).headers, b"content-type") == b"application/problem+json"
