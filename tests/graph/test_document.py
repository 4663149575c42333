from __future__ import annotations

import gzip
import json
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType, UpstreamUnusable
from gateway.graph.document import NOT_JSON, decoded, document, raw_json
from gateway.message import Headers, Request, Response
from tests.support.service import answer, ask

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


def encoded(coding: bytes) -> Headers:
    return [(b"content-type", b"application/json"), (b"content-encoding", coding)]


def test_a_body_is_parsed_once() -> None:
    request = ask(b'{"a": [1, 2.5, null]}')
    first = document(request)
    assert first == {"a": [1, 2.5, None]}
    assert document(request) is first
    assert request.document is first


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"hello",
        b"{",
        b"NaN",
        b"[Infinity]",
        b'"\xff"',
        b'{"a":1}x',
        b"\xef\xbb\xbf{}",
        b'{"a":1,}',
        b"[" * 5000,
    ],
    ids=lambda body: body[:8],
)
def test_what_is_not_strict_json_is_not_json(body: bytes) -> None:
    request = ask(body)
    assert document(request) is NOT_JSON
    assert document(request) is NOT_JSON
    assert repr(NOT_JSON) == "NOT_JSON"


def test_deep_nesting_is_not_json_rather_than_a_crash() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert document(ask(deep)) is NOT_JSON
    with pytest.raises(UpstreamUnusable):
        raw_json(answer(deep))


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", gzip.compress(b'{"a":1}')),
        (b"GZIP", gzip.compress(b'{"a":1}')),
        (b"x-gzip", gzip.compress(b'{"a":1}')),
        (b"gzip", gzip.compress(b'{"a"') + gzip.compress(b":1}")),
        (b"deflate", zlib.compress(b'{"a":1}')),
        (b"identity", b'{"a":1}'),
        (b"", b'{"a":1}'),
        (b"deflate, gzip", gzip.compress(zlib.compress(b'{"a":1}'))),
    ],
)
def test_codings_are_undone_for_reading_only(coding: bytes, body: bytes) -> None:
    request = ask(body, encoded(coding))
    assert document(request) == {"a": 1}
    assert request.body == body
    assert raw_json(answer(body, headers=encoded(coding))) == b'{"a":1}'


def test_codings_on_several_lines_are_undone_last_first() -> None:
    headers = [(b"content-encoding", b"deflate"), (b"content-encoding", b"gzip")]
    assert decoded(ask(gzip.compress(zlib.compress(b"1")), headers)) == b"1"


def test_an_empty_body_has_nothing_to_undo() -> None:
    assert decoded(ask(b"", encoded(b"gzip"))) == b""


def test_an_unknown_coding_is_the_clients_fault_in_a_request_and_the_backends_in_an_answer() -> None:
    with pytest.raises(UnsupportedMediaType, match="br"):
        document(ask(b"x", encoded(b"br")))
    with pytest.raises(UpstreamUnusable, match="br"):
        document(answer(b"x", headers=encoded(b"br")))


@pytest.mark.parametrize(
    "body", [b"plain", gzip.compress(b"{}")[:-3], gzip.compress(b"{}") + b"junk", gzip.compress(b"") * 65]
)
def test_a_broken_coding_is_an_error_of_who_sent_it(body: bytes) -> None:
    with pytest.raises(BadRequest, match="gzip"):
        document(ask(body, encoded(b"gzip")))
    with pytest.raises(UpstreamUnusable, match="gzip"):
        document(answer(body, headers=encoded(b"gzip")))


def test_a_bomb_is_defused() -> None:
    bomb = gzip.compress(b"0" * 100_001)
    with pytest.raises(PayloadTooLarge):
        decoded(ask(bomb, encoded(b"gzip")), limit=100_000)
    with pytest.raises(UpstreamUnusable):
        decoded(answer(bomb, headers=encoded(b"gzip")), limit=100_000)
    assert len(decoded(ask(bomb, encoded(b"gzip")), limit=100_001)) == 100_001


def test_the_limit_counts_all_members_together() -> None:
    with pytest.raises(PayloadTooLarge):
        decoded(ask(gzip.compress(b"12") * 2, encoded(b"gzip")), limit=3)


@pytest.mark.parametrize("body", [b'{"a": 12345678901234567890123, "a": 1.10}', b"0.10", b' "\xc3\xa9" ', b"\n[ ]\t"])
def test_raw_json_is_the_text_as_it_came(body: bytes) -> None:
    assert raw_json(answer(body)) == body.strip()


@pytest.mark.parametrize("body", [b"", b"hello", b'"\xff"', b'"\xed\xa0\x80"', b"NaN", b"[1,]", b"{}{}", b"01"])
def test_raw_json_refuses_what_is_not_json(body: bytes) -> None:
    with pytest.raises(UpstreamUnusable, match="not JSON"):
        raw_json(answer(body))


@given(VALUES)
def test_any_json_is_read_back(value: object) -> None:
    body = orjson.dumps(value)
    assert document(ask(body)) == value
    assert raw_json(answer(body)) == body


@given(st.binary())
def test_raw_json_never_passes_what_the_parser_refuses(body: bytes) -> None:
    try:
        raw = raw_json(answer(body))
    except UpstreamUnusable:
        assert document(answer(body)) is NOT_JSON
    else:
        json.loads(raw)


def test_of_a_body_with_binary_tensors_the_json_part_is_read() -> None:
    head = b'{"inputs":[]}'
    fields = [(b"inference-header-content-length", b"%d" % len(head))]
    assert document(Request(b"POST", b"/", fields, head + b"\x00\xff")) == {"inputs": []}
    assert document(Response(200, fields, head + b"\x00\xff")) == {"inputs": []}
    assert document(Request(b"POST", b"/", [(fields[0][0], b"-1")], head + b"\x00")) is NOT_JSON
