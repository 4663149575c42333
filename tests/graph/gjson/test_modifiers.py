from __future__ import annotations

import pytest

from gateway.graph.gjson.modifiers import NAMES, Program, modifier
from gateway.graph.gjson.text import MISSING


def run(name: str, value: object, argument: str = "") -> object:
    return modifier(name, argument, _no_path)(value)


def _no_path(text: str) -> Program:
    raise AssertionError(text)


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("reverse", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("reverse", "ab", "ab"),
        ("keys", [5, 6], [None, None]),
        ("keys", 5, [None]),
        ("values", {"a": None}, [None]),
        ("values", 5, [5]),
        ("flatten", [1, [2, [3]], []], [1, 2, [3]]),
        ("join", [{"a": 1, "b": 2}, 3, {"a": 4}], {"a": 4, "b": 2}),
        ("tostr", {"a": [None]}, '{"a":[null]}'),
        ("fromstr", "[1]", [1]),
        ("fromstr", "word", MISSING),
        ("fromstr", 1.5, 1.5),
        ("fromstr", None, MISSING),
        ("group", {"a": [1, 2], "b": [3], "c": 4}, [{"a": 1, "b": 3}, {"a": 2}]),
        ("group", [], MISSING),
    ],
)
def test_results(name: str, value: object, result: object) -> None:
    assert repr(run(name, value)) == repr(result)


@pytest.mark.parametrize("name", sorted(NAMES - {"dig"}))
def test_of_nothing_they_make_nothing_but_a_few(name: str) -> None:
    assert run(name, MISSING) == {"keys": [], "values": [], "tostr": ""}.get(name, MISSING)


def test_options_are_read_leniently() -> None:
    assert run("flatten", [[[1]]], '{"deep":true}') == [1]
    assert run("flatten", [[[1]]], '{"deep":"T"}') == [1]
    assert run("flatten", [[[1]]], '{"deep":0}') == [[1]]
    assert run("flatten", [[[1]]], "deep") == [[1]]


def test_sort_keys_leaves_the_document_alone() -> None:
    document = {"b": [{"d": 1, "c": 2}], "a": 3}
    assert repr(run("pretty", document, '{"sortKeys":true}')) == "{'a': 3, 'b': [{'c': 2, 'd': 1}]}"
    assert repr(document) == "{'b': [{'d': 1, 'c': 2}], 'a': 3}"


def test_dig_asks_every_value_from_the_outside_in() -> None:
    asked: list[object] = []

    def path(value: object) -> object:
        asked.append(value)
        return value if value == 2 else MISSING

    assert modifier("dig", "any", lambda text: path)([1, {"a": 2}, 2]) == [2, 2]
    assert asked == [[1, {"a": 2}, 2], 1, {"a": 2}, 2, 2]
