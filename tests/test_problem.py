from __future__ import annotations

import json

from gateway.errors import MethodNotAllowed, NoHealthyUpstream, UpstreamTimeout
from gateway.problem import problem


def test_every_member() -> None:
    error = UpstreamTimeout("no answer in time", node="root", step="classify")
    error.graph = "iris"
    response = problem(error, b"id-1")
    assert response.status == 504
    assert response.headers == [(b"content-type", b"application/problem+json")]
    assert json.loads(response.body) == {
        "type": "urn:inference-gateway:error:upstream_timeout",
        "title": "Upstream timeout",
        "status": 504,
        "detail": "no answer in time",
        "code": "upstream_timeout",
        "graph": "iris",
        "node": "root",
        "step": "classify",
        "requestId": "id-1",
        "error": "no answer in time",
    }


def test_members_without_a_value_are_left_out_and_the_title_stands_in_for_the_detail() -> None:
    members = json.loads(problem(NoHealthyUpstream()).body)
    assert members.keys() == {"type", "title", "status", "detail", "code", "error"}
    assert members["detail"] == members["error"] == "No healthy upstream"


def test_retry_after_and_allow() -> None:
    assert (b"retry-after", b"2") in problem(NoHealthyUpstream(retry_after=2)).headers
    assert (b"allow", b"GET, HEAD") in problem(MethodNotAllowed(allow=b"GET, HEAD")).headers


def test_any_detail_can_be_written() -> None:
    name = b"\xff".decode("utf-8", "surrogateescape")
    assert problem(NoHealthyUpstream(f"unix:/run/{name}"), b"\xff").status == 503
