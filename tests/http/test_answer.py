from __future__ import annotations

import pytest

from gateway.http.answer import connection, known_head, length, whole_head
from gateway.http.heads import response_head
from gateway.message import Response

DATE = b"date: now\r\n"


def test_a_known_head_is_passed_on_with_its_stamp_and_a_date_if_it_has_none() -> None:
    headers = [(b"server", b"s")]
    head = response_head(201, headers, 3)
    answer = Response(201, headers, b"abc", encoded=head, stamp=b"x-request-id: 1\r\n")
    start = b"HTTP/1.1 201 Created\r\nserver: s\r\ncontent-length: 3\r\nx-request-id: 1\r\n"
    assert known_head(answer, DATE) == start + b"date: now\r\n\r\n"
    dated = [(b"date", b"then")]
    answer = Response(201, dated, b"abc", encoded=response_head(201, dated, 3))
    assert known_head(answer, DATE) == b"HTTP/1.1 201 Created\r\ndate: then\r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize("change", [{"status": 200}, {"headers": []}, {"body": b"ab"}, {"encoded": None}])
def test_any_other_is_not_known(change: dict[str, object]) -> None:
    headers = [(b"server", b"s")]
    answer = Response(201, headers, b"abc", encoded=response_head(201, headers, 3))
    for name, value in change.items():
        setattr(answer, name, value)
    assert known_head(answer, DATE) == b""


@pytest.mark.parametrize(
    ("status", "body", "head_only", "expected"),
    [
        (200, b"abc", False, b"content-length: 3\r\n"),
        (200, b"", False, b"content-length: 0\r\n"),
        (200, b"", True, b""),
        (200, b"abc", True, b"content-length: 3\r\n"),
        (204, b"", False, b""),
        (304, b"", False, b""),
    ],
)
def test_length(status: int, body: bytes, head_only: bool, expected: bytes) -> None:
    assert length(Response(status, [], body), head_only) == expected


def test_connection() -> None:
    assert connection(1, closing=False) == b""
    assert connection(0, closing=False) == b"connection: keep-alive\r\n"
    assert connection(1, closing=True) == connection(0, closing=True) == b"connection: close\r\n"


@pytest.mark.parametrize("headers", [[], [(b"date", b"x")], [(b"a", b"b"), (b"date", b"x")], [(b"x-date", b"date: x")]])
def test_every_answer_has_one_date(headers: list[tuple[bytes, bytes]]) -> None:
    head = whole_head(Response(200, headers, stamp=b"s: t\r\n"), b"f: g\r\n", b"", DATE)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.count(b"\r\ndate: ") == 1
    assert b"\r\ns: t\r\nf: g\r\n" in head
    assert head.endswith(b"\r\n\r\n")
