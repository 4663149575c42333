from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.graph.document import NOT_JSON
from gateway.graph.kserve.errors import RouterError
from gateway.graph.kserve.gojson import document, object_text, quoted, string, valid
from tests.support.service import ask


@pytest.mark.parametrize("body", [b"{}", b" 1 ", b'"\xff"', b'"\\ud800"', b"1e999", b"[" * 900 + b"]" * 900])
def test_go_calls_these_json(body: bytes) -> None:
    assert valid(body)
    assert document(ask(body)) is not NOT_JSON


@pytest.mark.parametrize("body", [b"", b"hello", b"NaN", b"-Infinity", b"\xef\xbb\xbf{}", b"{}{}", b"[" * 100_000])
def test_go_calls_these_not_json(body: bytes) -> None:
    assert not valid(body)
    assert document(ask(body)) is NOT_JSON


def test_a_body_is_parsed_once_and_not_decompressed() -> None:
    request = ask(b'{"a":1}', [(b"content-encoding", b"gzip")])
    assert document(request) == {"a": 1}
    assert document(request) is request.document


@pytest.mark.parametrize("body", [b'{"b": 1.0, "a": 12345678901234567890123}', b"null", b"{ }"])
def test_an_object_or_null_is_taken_as_it_is(body: bytes) -> None:
    assert object_text(b"\n" + body + b" ") == body


def test_bytes_that_are_no_utf8_are_replaced_on_their_way_into_an_object() -> None:
    assert object_text(b'{"a":"\xff"}') == '{"a":"\ufffd"}'.encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (b' "x"', "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        (b"-1", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        (b"true", "json: cannot unmarshal bool into Go value of type map[string]interface {}"),
        (b"false", "json: cannot unmarshal bool into Go value of type map[string]interface {}"),
        (b"", "unexpected end of JSON input"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[" * 5000 + b"]" * 5000, "exceeded max depth"),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else "",
)
def test_anything_else_is_an_error_in_gos_words(body: bytes, message: str) -> None:
    with pytest.raises(RouterError) as caught:
        object_text(body)
    assert caught.value.cause == message


def test_strings_are_safe_inside_html() -> None:
    assert string('<a&b> "\u2028\u2029\n\x00\x7fé\ud800') == (
        b'"\\u003ca\\u0026b\\u003e \\"\\u2028\\u2029\\n\\u0000\x7f\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"'
    )


@given(st.text())
def test_strings_are_read_back(text: str) -> None:
    assert json.loads(string(text)) == text


def test_quoted() -> None:
    assert quoted('http://a/"\\') == '"http://a/\\"\\\\"'
