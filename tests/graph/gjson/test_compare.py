from __future__ import annotations

import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.graph.gjson.compare import compile_test
from gateway.graph.gjson.text import MISSING

OPERATIONS = ["=", "!=", "<", "<=", ">", ">=", "%", "!%"]
ORDER = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("value", [None, MISSING, [], {}, [1]], ids=repr)
@pytest.mark.parametrize("right", ["", "1", "null", "true", "*"])
def test_what_is_no_scalar_matches_nothing(operation: str, value: object, right: str) -> None:
    assert compile_test(operation, right)(value) is False


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}], ids=repr)
def test_without_an_operator_whatever_exists_matches(value: object) -> None:
    assert compile_test("", "")(value) is True
    assert compile_test("", "")(MISSING) is False


@settings(deadline=None)
@given(st.sampled_from(sorted(ORDER)), st.text(max_size=3), st.text(max_size=3).filter(lambda text: text[:1] != "~"))
def test_strings_compare_as_text(operation: str, left: str, right: str) -> None:
    assert compile_test(operation, right)(left) is ORDER[operation](left, right)


@settings(deadline=None)
@given(st.sampled_from(sorted(ORDER)), st.floats(allow_nan=False) | st.integers(-(2**64), 2**64), st.floats())
def test_numbers_compare_as_float64(operation: str, left: float, right: float) -> None:
    assert compile_test(operation, repr(right))(left) is ORDER[operation](float(left), right)


def test_a_number_compares_with_0_when_the_right_side_is_none() -> None:
    assert compile_test(">", "0.5 && instances.0.data<=0.9")(0.1) is True
    assert compile_test("=", "one")(0) is True
    assert compile_test("%", "1*")(10) is False


@pytest.mark.parametrize(
    ("operation", "right", "of_true", "of_false"),
    [
        ("=", "true", True, False),
        ("=", "false", False, True),
        ("=", "1", False, False),
        ("!=", "true", False, True),
        ("!=", "x", True, True),
        (">", "false", True, False),
        (">", "true", False, False),
        (">=", "x", True, False),
        ("<", "true", False, True),
        ("<=", "x", False, True),
        ("%", "*", False, False),
        ("!", "", False, False),
    ],
)
def test_booleans_know_each_other_by_name(operation: str, right: str, of_true: bool, of_false: bool) -> None:
    test = compile_test(operation, right)
    assert (test(True), test(False)) == (of_true, of_false)


ARRAY: list[object] = []
OBJECT: dict[str, object] = {}
TRUE = [True, 1, -0.5, "1", "t", "TRUE"]
FALSE = [False, 0, 0.0, "0", "F", "false"]
NEITHER = ["", "x", ARRAY, OBJECT]
NULL = [None, MISSING]


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("true", TRUE),
        ("false", FALSE + NULL),
        ("null", NULL),
        ("*", [*TRUE, *FALSE, *NEITHER, None]),
        ("other", []),
    ],
)
def test_a_tilde_converts_to_a_boolean(kind: str, holds: list[object]) -> None:
    equal, unequal = compile_test("=", f"~{kind}"), compile_test("!=", f"~{kind}")
    for value in TRUE + FALSE + NEITHER + NULL:
        expected = any(value is one for one in holds)
        assert equal(value) is expected
        assert unequal(value) is (kind != "other" and not expected)
