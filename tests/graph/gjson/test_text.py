from __future__ import annotations

from math import inf, isnan

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.graph.gjson.text import MISSING, as_float, parse_float, read, unescape, write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' \n{"a":[1]}', {"a": [1]}),
        ("{broken", {}),
        ("[1,", []),
        ('"a\\nb" and more', "a\nb"),
        ('"never closed', "never closed"),
        ("true story", True),
        ("f", False),
        ("n", None),
        ("null", None),
        ("12,13", 12),
        ("-1.5e1]", -15.0),
        ("+1", 1.0),
        ("1x", 0.0),
        ("inf", inf),
        ("word", MISSING),
        ("", MISSING),
        (" ", MISSING),
    ],
)
def test_read(text: str, value: object) -> None:
    assert read(text) == value
    assert type(read(text)) is type(value)


def test_missing_says_its_name() -> None:
    assert repr(MISSING) == "MISSING"


@settings(deadline=None)
@given(st.text())
def test_unescape_undoes_what_json_escapes(text: str) -> None:
    assert unescape(orjson.dumps(text).decode()[1:-1]) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\u0041\u00e9", "Aé"),
        (r"\ud83d\ude00", "😀"),
        (r"\ud83d", "\ufffd"),
        (r"a\qb", "a"),
        ("a\nb", "a"),
        (r"a\u00", "a"),
        (r"\uzzzz!", "\x00!"),
    ],
)
def test_unescape_ends_where_json_does(text: str, value: str) -> None:
    assert unescape(text) == value


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_every_float_is_parsed(number: float) -> None:
    assert parse_float(repr(number)) == number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000", 1000.0),
        ("1__0", 0.0),
        ("_1", 0.0),
        ("1.", 1.0),
        (".5", 0.5),
        (".", 0.0),
        ("1e", 0.0),
        ("0x1p4", 16.0),
        ("0x_a.8p0", 10.5),
        ("0x10", 0.0),
        ("0x1p99999", inf),
        ("-0x1p99999", -inf),
        ("1e999", inf),
        ("-Infinity", -inf),
        ("infinit", 0.0),
        (" 1", 0.0),
        ("٣", 0.0),
        ("", 0.0),
    ],
)
def test_numbers_are_what_go_takes_for_one(text: str, value: float) -> None:
    assert parse_float(text) == value


def test_nan_has_no_sign() -> None:
    assert isnan(parse_float("NaN"))
    assert parse_float("+nan") == 0


def test_integers_become_float64() -> None:
    assert as_float(2**53 + 1) == 2.0**53
    assert as_float(-(10**400)) == -inf


def test_what_cannot_be_written_is_missing() -> None:
    assert write([1.0, "é"]) == '[1.0,"é"]'
    assert write(2**70) is MISSING
