from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.graph.kserve.gosyntax import syntax_error

# What Go 1.26's json.Unmarshal says.
WRONG = [
    (b"", "unexpected end of JSON input"),
    (b" ", "unexpected end of JSON input"),
    (b"{", "unexpected end of JSON input"),
    (b"[", "unexpected end of JSON input"),
    (b"[1", "unexpected end of JSON input"),
    (b'{"a"', "unexpected end of JSON input"),
    (b'{"a":', "unexpected end of JSON input"),
    (b'{"a":1', "unexpected end of JSON input"),
    (b'{"a":1,', "unexpected end of JSON input"),
    (b'"abc', "unexpected end of JSON input"),
    (b"tru", "invalid character ' ' in literal true (expecting 'e')"),
    (b"-", "invalid character ' ' in numeric literal"),
    (b"1.", "invalid character ' ' after decimal point in numeric literal"),
    (b"1e", "invalid character ' ' in exponent of numeric literal"),
    (b"1e+", "invalid character ' ' in exponent of numeric literal"),
    (b'"\\', "invalid character ' ' in string escape code"),
    (b'"\\u12', "invalid character ' ' in \\u hexadecimal character escape"),
    (b"hello", "invalid character 'h' looking for beginning of value"),
    (b"<html>", "invalid character '<' looking for beginning of value"),
    (b"'a'", "invalid character '\\'' looking for beginning of value"),
    (b"\xff", "invalid character 'ÿ' looking for beginning of value"),
    (b"\x00", "invalid character '\\x00' looking for beginning of value"),
    (b"\\", "invalid character '\\\\' looking for beginning of value"),
    (b"\n\x0b", "invalid character '\\v' looking for beginning of value"),
    (b"{,}", "invalid character ',' looking for beginning of object key string"),
    (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
    (b'{"a" 1}', "invalid character '1' after object key"),
    (b'{"a":1 2}', "invalid character '2' after object key:value pair"),
    (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
    (b"[1 2]", "invalid character '2' after array element"),
    (b"[1,]", "invalid character ']' looking for beginning of value"),
    (b"{}x", "invalid character 'x' after top-level value"),
    (b"1 2", "invalid character '2' after top-level value"),
    (b"01", "invalid character '1' after top-level value"),
    (b"-a", "invalid character 'a' in numeric literal"),
    (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
    (b"1ex", "invalid character 'x' in exponent of numeric literal"),
    (b"nulL", "invalid character 'L' in literal null (expecting 'l')"),
    (b"fxlse", "invalid character 'x' in literal false (expecting 'a')"),
    (b'"a\nb"', "invalid character '\\n' in string literal"),
    (b'"\\x"', "invalid character 'x' in string escape code"),
    (b'"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
    (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
    (b'{"a":[1,{"b":]}', "invalid character ']' looking for beginning of value"),
    (b"\x7f", "invalid character '\\x7f' looking for beginning of value"),
    (b"[}", "invalid character '}' looking for beginning of value"),
    (b"{]", "invalid character ']' looking for beginning of object key string"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[repr(text) for text, _ in WRONG])
def test_the_words_are_gos(text: bytes, message: str) -> None:
    assert syntax_error(text) == message


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b' { "a" : [ 1 , -0.5e+3 , true , null ] } ',
        b'"\\u00e9\\ud800\\n"',
        b'"\xff"',
        b"1e999",
        b"[[],{}]",
    ],
)
def test_what_go_accepts_has_no_mistake(text: bytes) -> None:
    assert syntax_error(text) == ""


def test_nesting_has_gos_limit_and_no_recursion() -> None:
    assert syntax_error(b"[" * 10_000 + b"]" * 10_000) == ""
    assert syntax_error(b"[" * 10_001) == "invalid character '[' exceeded max depth"


@given(st.text(alphabet='{}[]",: \\u0123456789.-+eEtruefalsn\n'))
def test_it_finds_a_mistake_where_the_standard_parser_does(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        assert syntax_error(text.encode())
    else:
        assert not syntax_error(text.encode())
