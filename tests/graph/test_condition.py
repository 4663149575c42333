from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.graph.condition import DEEPEST, compile_condition

DOCUMENT = {
    "predictions": ["cat", "dog"],
    "scores": [0.1, 0.9],
    "zero": 0,
    "no": False,
    "null": None,
    "text": "",
    "list": [],
    "object": {},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("predictions[?@ == 'dog']", True),
        ("predictions[?@ == 'bird']", False),
        ("scores[1] > `0.5` && scores[0] < `0.5`", True),
        ("scores[1] > `0.5` && scores[0] > `0.5`", False),
        ("!no", True),
        ("zero", True),
        ("no", False),
        ("null", False),
        ("text", False),
        ("list", False),
        ("object", False),
        ("missing.anything", False),
        ("length(predictions) == `2`", True),
        ("contains(predictions, 'dog')", True),
        ("@", True),
    ],
)
def test_jmespath_holds_when_its_result_is_true(expression: str, expected: bool) -> None:
    assert compile_condition("jmespath", expression)(DOCUMENT) is expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("predictions.#(==dog)", True),
        ("predictions.#(==bird)", False),
        ("zero", True),
        ("no", True),
        ("null", True),
        ("text", True),
        ("missing", False),
        ("predictions.#(==bird)#", True),
        ("{missing}", True),
        ("", False),
        ("#(", False),
    ],
)
def test_gjson_holds_when_the_path_exists(expression: str, expected: bool) -> None:
    assert compile_condition("gjson", expression)(DOCUMENT) is expected


@pytest.mark.parametrize(
    ("expression", "document", "expected"),
    [
        ('[@this].#(predictions.0=="animal")', {"predictions": ["animal"]}, True),
        ('[@this].#(predictions.0=="animal")', {"predictions": ["dog", "animal"]}, False),
        ('[@this].#(predictions.0.class=="news")', {"predictions": [{"class": "news"}]}, True),
        ("[@this].#(instances.0.data>0.9)", {"instances": [{"data": 0.91}]}, True),
        ("[@this].#(instances.0.data<=0.5)", {"instances": [{"data": 0.91}]}, False),
        ("[@this].#(instances.0.data>0.5 && instances.0.data<=0.9)", {"instances": [{"data": 0.1}]}, True),
        ("[@this].#(instances.0.data>0.5 && instances.0.data<=0.9)", {"instances": [{"data": 0}]}, False),
        ('predictions.#(label=="dog")', {"predictions": [{"label": "cat"}, {"label": "dog"}]}, True),
        ('predictions.#(label=="dog")', {"predictions": [{"label": "cat"}]}, False),
        ('instances.#(modelId=="1")', {"instances": [{"modelId": "1"}]}, True),
        ('instances.#(modelId=="1")', {"instances": [{"modelId": "2"}]}, False),
        ("instances.#(intval>10)", {"instances": [{"intval": 10}, {"intval": 11}]}, True),
        ("instances.#(strval%*red-server*)", {"instances": [{"strval": "the red-server is up"}]}, True),
        ("instances.#(strval%*red-server*)", {"instances": [{"strval": "the blue-server is up"}]}, False),
        ("[@this].#(source==client)", {"source": "client"}, True),
        ("[@this].#(decision_picker==ERROR)", {"decision_picker": "ERROR"}, True),
        ("[@this].#(decision_picker==ERROR)", {"decision_picker": "SUCCESS"}, False),
        ('{ .predictions.class == "dog" }', {"predictions": {"class": "cat"}}, True),
        ("@this", [], True),
    ],
)
def test_the_conditions_of_kserves_own_pages(expression: str, document: Any, expected: bool) -> None:
    assert compile_condition("gjson", expression)(document) is expected


@pytest.mark.parametrize(
    ("expression", "column", "fault"),
    [
        ("", 1, "it is empty"),
        ("predictions[?@ == 'dog'", 24, "it ends too early"),
        ("a b", 3, "Unexpected token: b"),
        ("a = 'b'", 3, "Unknown token '='"),
        ("a == 'b", 6, "Unclosed ' delimiter"),
        ("a\n# b", 3, "Unknown token #"),
        ("a && contians(b, 'c')", 6, "unknown function contians()"),
        ("length(a, b)", 1, "length() takes 1 argument(s), not 2"),
        ("a || not_null()", 6, "not_null() takes at least 1 argument(s), not 0"),
        ("(" * 5000, 1, "it nests too deep"),
        ("a" + "|a" * (DEEPEST + 1), 1, "it nests too deep"),
        ("a[" + "9" * 5000 + "]", 1, "Exceeds the limit"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_a_bad_expression_is_told_at_once_in_one_line(expression: str, column: int, fault: str) -> None:
    with pytest.raises(ValueError) as raised:
        compile_condition("jmespath", expression)
    assert str(raised.value).startswith(f"invalid jmespath expression, column {column}: {fault}")
    assert "\n" not in str(raised.value)


DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("expression", "document"),
    [
        ("length(a) > `1`", {"a": 1}),
        ("sum(a) > `1`", {"a": [1, "2"]}),
        ("ceil(a)", {"a": float("inf")}),
        ("max_by(a, &b)", {"a": [{"b": 1}, {"b": "x"}]}),
        ("contains(a, 'x')", {}),
        ("a[::0]", {"a": [1]}),
        ("@ == `[[1]]` || a", []),
        ("to_string(@) == ''", DEEP),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_a_document_that_does_not_fit_is_one_that_does_not_hold(expression: str, document: Any) -> None:
    assert compile_condition("jmespath", expression)(document) is False


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
words = re.split(" ", "a b [ ] [? [*] [] . | || && ! ( ) `1` `[]` 'x' @ & * { } : , == < length( sort_by( max_by( -1 0")


@settings(deadline=None)
@given(st.lists(st.sampled_from(words), max_size=8).map("".join), json)
def test_what_compiles_answers_true_or_false(expression: str, document: Any) -> None:
    with suppress(ValueError):
        assert compile_condition("jmespath", expression)(document) in (True, False)


def test_a_condition_has_no_memory() -> None:
    condition = compile_condition("jmespath", "sort_by(a, &b)[0].b == `1`")
    assert condition({"a": [{"b": 2}, {"b": 1}]}) is True
    assert condition({"a": [{"b": 2}, {"b": "x"}]}) is False
    assert condition({"a": [{"b": 1}]}) is True
