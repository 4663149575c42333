from __future__ import annotations

from math import inf

import msgspec

from gateway.message import UNPARSED, Request, Response, header


def full() -> Request:
    return Request(
        b"POST",
        b"/p?q",
        [(b"a", b"1"), (b"content-type", b"text/csv"), (b"content-encoding", b"gzip")],
        b"body",
        5.0,
        b"id-1",
        [b"root=a"],
        ("root", "a"),
        {"x": 1},
        b"127.0.0.1",
    )


def test_a_derived_request_differs_in_its_deadline_only() -> None:
    request = full()
    derived = request.derive(2.0)
    assert derived == msgspec.structs.replace(request, deadline=2.0)
    assert request == full()


def test_derived_requests_share_the_route_and_nothing_that_is_assigned() -> None:
    request = full()
    derived = request.derive(2.0)
    derived.route.append(b"b=c")
    derived.at = ("b", "c")
    assert request.route == [b"root=a", b"b=c"]
    assert request.at == ("root", "a")


def test_carrying_takes_body_and_what_describes_it_from_the_answer() -> None:
    message = Response(200, [(b"content-type", b"application/json"), (b"server", b"x")], b"[]", [])
    carrying = full().carrying(message)
    headers = [(b"a", b"1"), (b"content-type", b"application/json")]
    assert carrying == msgspec.structs.replace(full(), headers=headers, body=b"[]", document=[])


def test_carrying_brings_the_binary_extensions_header_along() -> None:
    message = Response(200, [(b"inference-header-content-length", b"12")])
    assert full().carrying(message).headers == [(b"a", b"1"), (b"inference-header-content-length", b"12")]


def test_a_request_has_nothing_it_was_not_given() -> None:
    request = Request(b"GET", b"/", [])
    assert (request.body, request.deadline, request.id, request.at, request.peer) == (b"", inf, b"", ("", ""), b"")
    assert request.document is UNPARSED
    assert repr(request.document) == "UNPARSED"
    assert request.route == []
    assert request.route is not Request(b"GET", b"/", []).route


def test_success_is_200_to_299() -> None:
    assert [status for status in (199, 200, 201, 204, 299, 300, 304, 404, 500) if Response(status, []).ok] == [
        200,
        201,
        204,
        299,
    ]


def test_the_first_value_of_a_header() -> None:
    headers = [(b"a", b"1"), (b"b", b""), (b"a", b"2")]
    assert (header(headers, b"a"), header(headers, b"b"), header(headers, b"c")) == (b"1", b"", None)
