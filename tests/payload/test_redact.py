from typing import Any

import jmespath
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.payload.redact import REDACTED, Redaction

BODY = {
    "a": {"b": 1, "c": [1, 2, 3]},
    "list": [{"name": "x", "secret": 1}, {"name": "y", "secret": 2}, "text"],
    "nested": [[{"s": 1}], [{"s": 2}, {"s": 3}], {"s": 4}],
    "map": {"one": {"s": 1}, "two": {"s": 2}},
}


@pytest.mark.parametrize(
    ("expression", "secrets"),
    [
        ("a.b", ["a.b"]),
        ("a.c[0]", ["a.c[0]"]),
        ("a.c[-1]", ["a.c[-1]"]),
        ("a.c[9]", []),
        ("a.c[1:]", ["a.c[1]", "a.c[2]"]),
        ("list[*].secret", ["list[0].secret", "list[1].secret"]),
        ("list[].secret", ["list[0].secret", "list[1].secret"]),
        ("list[?name=='y'].secret", ["list[1].secret"]),
        ("list[1:].secret", ["list[1].secret"]),
        ("nested[].s", ["nested[0][0].s", "nested[1][0].s", "nested[1][1].s", "nested[2].s"]),
        ("nested[*][0].s", ["nested[0][0].s", "nested[1][0].s"]),
        ("map.*.s", ["map.one.s", "map.two.s"]),
        ("a", ["a"]),
        ("missing.x", []),
        ("a.b.c", []),
        ("map[0]", []),
    ],
)
def test_what_an_expression_finds_is_replaced_and_nothing_else(expression: str, secrets: list[str]) -> None:
    redacted = Redaction((expression,))(orjson.dumps(BODY))
    assert redacted is not None
    found = orjson.loads(redacted)
    expected = orjson.loads(orjson.dumps(BODY))
    for secret in secrets:
        assert jmespath.search(secret, found) == REDACTED
        _put(expected, secret, REDACTED)
    assert found == expected


def _put(document: Any, path: str, value: str) -> None:
    *way, last = path.replace("[", ".[").split(".")
    for step in way:
        document = document[int(step[1:-1])] if step.startswith("[") else document[step]
    document[int(last[1:-1]) if last.startswith("[") else last] = value


def test_the_whole_body() -> None:
    assert Redaction(("@",))(b"{}") == b'"[redacted]"'


def test_several_expressions() -> None:
    assert Redaction(("a", "b[0]"))(b'{"a":1,"b":[2,3],"c":4}') == b'{"a":"[redacted]","b":["[redacted]",3],"c":4}'


@pytest.mark.parametrize(
    ("condition", "element"),
    [
        ("length(@) > `1`", b"1"),
        ("ceil(to_number(a)) > `1`", b'{"a":"1e999"}'),
        ("floor(to_number(a)) > `1`", b'{"a":"nan"}'),
        ("min_by(@, &a)", b'[{"a":1},{"a":"b"}]'),
    ],
)
def test_a_filter_that_fails_redacts(condition: str, element: bytes) -> None:
    assert Redaction((f"[?{condition}]",))(b"[" + element + b"]") == b'["[redacted]"]'


@pytest.mark.parametrize("body", [b"a=1", b"[" * 300 + b"]" * 300, b"[" * 3000 + b"]" * 3000])
def test_a_body_that_is_not_json_or_too_deep_has_no_places(body: bytes) -> None:
    assert Redaction(("a",))(body) is None


@pytest.mark.parametrize(
    "expression", ["length(a)", "{x: a}", "[a, b]", "a || b", "a == b", "`1`", "a | b", "&a", "a["]
)
def test_what_says_no_place_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"no place|not a jmespath"):
        Redaction((expression,))


JSON = st.recursive(
    st.none() | st.integers(0, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abs"), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["s", "a.s", "a[*].s", "a[].s", "*.s", "[*].s", "[].s", "a[?s].s", "[0].s", "a[:1].s"]))
def test_whatever_jmespath_finds_is_gone(document: Any, expression: str) -> None:
    redacted = Redaction((expression,))(orjson.dumps(document))
    assert redacted is not None
    found = jmespath.search(expression, orjson.loads(redacted))
    left = found if isinstance(found, list) and "[" in expression + "*" else [found]
    assert all(value in (None, REDACTED) or _none(value) for value in left)


def _none(value: Any) -> bool:
    return isinstance(value, list) and all(item in (None, REDACTED) or _none(item) for item in value)
