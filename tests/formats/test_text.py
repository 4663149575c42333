from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.formats import text
from tests.formats.servers import Number, dumps

NUMBERS = ("9007199254740993", "1e400", "-0", "0.1000000000000000055511151231257827", "12345678901234567890123", "1E+2")

scalars = st.sampled_from(NUMBERS).map(Number) | st.booleans() | st.none() | st.text()
arrays = st.recursive(st.lists(scalars, max_size=4), lambda inner: st.lists(inner | scalars, max_size=4), max_leaves=12)
spaces = st.sampled_from(("", " ", "\n\t "))


def leaves(value: object) -> int:
    return sum(map(leaves, value)) if isinstance(value, list) else 1


@given(arrays, spaces)
def test_counts_are_those_of_a_reader(value: list[object], space: str) -> None:
    raw = Raw(dumps(value, space))
    assert text.length(raw) == len(value)
    assert text.rows(raw)[0] == len(value)
    assert text.leaves(raw) == leaves(value)
    assert text.counts(raw) == (len(value), leaves(value))
    assert text.nested(raw) == (bool(value) and isinstance(value[0], list))


@given(arrays, spaces)
def test_elements_put_together_are_the_array(value: list[object], space: str) -> None:
    elements = text.elements(dumps(value, space))
    assert bytes(text.array(elements)) == b"[" + b",".join(dumps(element, space) for element in value) + b"]"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"[]", "array"),
        (b"{}", "object"),
        (b'"["', "string"),
        (b"true", "boolean"),
        (b"false", "boolean"),
        (b"null", "null"),
        (b"-1", "number"),
        (b"1e400", "number"),
    ],
)
def test_kinds(value: bytes, kind: str) -> None:
    assert text.kind(text.whole(b" \n" + value + b" ")) == kind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"[1, 2]", b"[1,2 ]"),
        (b"[1]", b"[2.5e3]"),
        (b'{"a": 1, "b": [1]}', b'{"b":[2], "a":3}'),
        (b"[[1,2],[3,4]]", b"[[5,6],[7,8]]"),
        (b'{"b64": "eA=="}', b'{"b64": "eXk="}'),
        (b'["a[", "b"]', b'["c", "d"]'),
        (b"true", b"false"),
    ],
)
def test_the_outline_is_the_same_for_values_that_differ_in_content(one: bytes, other: bytes) -> None:
    assert text.outline(text.whole(one)) == text.outline(text.whole(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"[1, 2]", b"[1, 2, 3]"),
        (b"[1]", b"1"),
        (b"[1]", b'["1"]'),
        (b"[1]", b"[true]"),
        (b"1", b"null"),
        (b"[]", b"[1]"),
        (b"[[1,2,3],[4,5,6]]", b"[[1,2],[3,4],[5,6]]"),
        (b'{"a": 1}', b'{"b": 1}'),
        (b'{"a": 1}', b'{"a": [1]}'),
        (b'{"a": "eA=="}', b'{"b64": "eA=="}'),
    ],
)
def test_the_outline_tells_shapes_apart(one: bytes, other: bytes) -> None:
    assert text.outline(text.whole(one)) != text.outline(text.whole(other))


def test_nothing_is_looked_into_without_end() -> None:
    deep = Raw(b'{"a":' * 20 + b"[1]" + b"}" * 20)
    assert text.outline(deep) == text.outline(Raw(bytes(deep).replace(b"[1]", b"2")))
    with pytest.raises(ValueError, match="deeply"):
        text.has_array(deep, 1)
    with pytest.raises(ValueError, match="deeply"):
        text.leaves(Raw(b"[" * 20 + b'"a"' + b"]" * 20))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"[1, 2]", True),
        (b"[1]", False),
        (b'"ab"', False),
        (b"2", False),
        (b'{"a": {"b": [[1], [2]]}}', True),
        (b'{"a": {"b": [[1, 2]]}}', False),
    ],
)
def test_arrays_of_a_length_are_found_inside_objects(value: bytes, found: bool) -> None:
    assert text.has_array(Raw(value), 2) == found


@pytest.mark.parametrize("bad", [b"", b"[1,]", b"[1]]", b"[NaN]", b"[01]", b'["\x01"]', b'["\\q"]', b"[1 2]", b"{}"])
def test_what_is_not_an_array_is_a_value_error(bad: bytes) -> None:
    with pytest.raises(ValueError):
        text.elements(bad)


def test_bytes_that_are_not_utf8_are_a_value_error() -> None:
    assert text.utf8("é".encode()) == "é".encode()
    with pytest.raises(ValueError):
        text.utf8(b'["\xff"]')


def test_long_values_are_compared_by_their_digest() -> None:
    short, long = b'"%b"' % (b"a" * 62), b'"%b"' % (b"a" * 1000)
    assert text.compared(Raw(short)) == short
    assert text.compared(Raw(long)) == text.compared(long)
    assert len(text.compared(long)) == 64
    assert text.compared(long) != text.compared(long.replace(b"a", b"b", 1))


def test_pieces_are_not_changed_on_the_way() -> None:
    members = text.members(b'{"a" : [1.0 , 2] , "b" : 1e400 }')
    assert text.encode(members) == b'{"a":[1.0 , 2],"b":1e400}'
    assert text.run(members["a"]) == b"1.0 , 2"
