"""Against gjson itself, by vectors made with tidwall/gjson v1.18.0; against its definition, by properties."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.graph.gjson import MISSING, compile_path, exists, get

VECTORS = orjson.loads(Path(__file__).with_name("gjson_vectors.json").read_bytes())


def same(left: Any, right: Any) -> bool:
    """Equal, with true told from 1 and the order of keys minded."""
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) is isinstance(right, bool) and left == right


def find(document: object, path: str) -> object:
    """What ``get`` finds, with MISSING told from null."""
    found = compile_path(path)(document)
    assert same(get(document, path), None if found is MISSING else found)
    return found


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: next(iter(case["paths"])) or "empty")
def test_vectors(case: dict[str, Any]) -> None:
    """``paths`` maps a path to what it finds: a list of one value, or of none."""
    for path, expected in case["paths"].items():
        found = find(case["document"], path)
        assert same([] if found is MISSING else [found], expected), path
        assert exists(case["document"], path) is bool(expected), path


names = st.text(st.sampled_from("ab.*?|#@\\!{}[]()\"'é \n0"), max_size=4)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=4)
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)
soup = st.lists(
    st.sampled_from([*'ab01.|#()[]{}"\\:,@!*?=~%<> \né', "@this", "@keys", "@dig:", "@tostr", "@fromstr", "#(", ")#"])
).map("".join)
plain = st.text("ab01.|#*?", max_size=6)


def leaves(document: Any, at: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every value below ``document`` with the keys that lead to it."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    below = [((*at, str(key)), value) for key, value in items]
    return below + [leaf for path, value in below for leaf in leaves(value, path)]


def escape(key: str) -> str:
    return re.sub(r"([^\w])", r"\\\1", key)


@settings(deadline=None)
@given(documents)
def test_the_escaped_path_to_a_value_gets_that_value(document: Any) -> None:
    for keys, value in leaves(document):
        path = ".".join(map(escape, keys))
        if path.startswith(".."):
            continue  # two empty keys at the head: gjson reads JSON lines
        assert find(document, path) is value
        if not re.search(r"\\[.|]", path):
            assert find(document, path.replace(".", "|")) is value


@settings(deadline=None)
@given(documents)
def test_a_path_past_a_value_finds_nothing(document: Any) -> None:
    for keys, value in leaves(document):
        if not isinstance(value, dict | list):
            assert not exists({"root": document}, ".".join(map(escape, ("root", *keys, "a"))))


@settings(deadline=None)
@given(st.lists(documents))
def test_count_is_the_length(document: list[Any]) -> None:
    assert find(document, "#") == len(document)
    assert find({"a": document}, "a.#") == find({"a": document}, "a|#") == len(document)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.integers(-3, 3) | st.text(max_size=1))), st.integers(-3, 3))
def test_a_query_is_a_list_comprehension(document: list[dict[str, Any]], right: int) -> None:
    def number(element: dict[str, Any]) -> bool:
        return isinstance(element.get("a"), int)

    larger = [element for element in document if number(element) and element["a"] > right]
    equal = [e for e in document if (number(e) and e["a"] == right) or ("a" in e and e["a"] == str(right))]
    assert find(document, f"#(a>{right})#") == [
        e for e in document if e in larger or (isinstance(e.get("a"), str) and e["a"] > str(right))
    ]
    assert find(document, f"#(a=={right})#") == equal
    assert find(document, f"#(a=={right})") is (equal[0] if equal else MISSING)
    assert find(document, f"#(a=={right})#.b") == [element["b"] for element in equal if "b" in element]
    assert find(document, "#.a") == [element["a"] for element in document if "a" in element]


@settings(deadline=None)
@given(documents, st.lists(plain, min_size=1, max_size=3))
def test_a_multipath_is_its_parts(document: Any, paths: list[str]) -> None:
    parts = [found for path in paths if (found := find(document, path)) is not MISSING]
    assert find(document, f"[{','.join(paths)}]") == parts
    named = ",".join(f'"{index}":{path}' for index, path in enumerate(paths))
    assert list(find(document, f"{{{named}}}").values()) == parts  # type: ignore[attr-defined]


@settings(deadline=None)
@given(documents)
def test_modifiers_that_undo_each_other(document: Any) -> None:
    assert same(find(document, "@this"), document)
    assert same(find(document, "@reverse.@reverse"), document)
    assert find(document, '@pretty:{"sortKeys":true}') == document
    assert find(document, "@tostr") == orjson.dumps(document).decode()
    assume(document is not None)
    assert same(find(document, "@tostr.@fromstr"), orjson.loads(orjson.dumps(document)))


@settings(deadline=None)
@given(documents, soup)
def test_no_path_raises(document: Any, path: str) -> None:
    before = orjson.dumps(document)
    assert exists(document, path) is (find(document, path) is not MISSING)
    assert orjson.dumps(document) == before


def test_a_path_is_compiled_once() -> None:
    assert compile_path("a.b") is compile_path("a.b")


def test_lines() -> None:
    assert find([{"n": 1}, {"n": 2}], "..#.n") == [1, 2]
    assert find({"n": 1}, "..#.n") == [1]
    assert find([{"n": 1}], "missing|..#") == 0


DEEP = 1000
HOLES = orjson.loads("[" * DEEP + "]" * DEEP)
SHAFT = orjson.loads('{"a":' * DEEP + "1" + "}" * DEEP)


@pytest.mark.parametrize(
    ("document", "path", "expected"),
    [
        (SHAFT, ".".join("a" * DEEP), 1),
        (SHAFT, "|".join("a" * DEEP), 1),
        (HOLES, ".".join("0" * (DEEP - 1)), []),
        (SHAFT, "@dig:a|#", DEEP),
        (HOLES, '@flatten:{"deep":true}', []),
        (SHAFT, '@pretty:{"sortKeys":true}|@keys', ["a"]),
        (HOLES, "@tostr", MISSING),
        (HOLES, "#(" * DEEP + ")" * DEEP, MISSING),
        (SHAFT, "@dig:" * DEEP, MISSING),
        (SHAFT, "[" * DEEP + "]" * DEEP, MISSING),
        ("[" * 10**5, "@fromstr", []),
        ([1], "9" * 5000, MISSING),
        ([1], f"#(<{'9' * 5000})", 1),
        ([10**400], "#(>1)|!true", True),
        ([-(10**400)], "#(<1)|!true", True),
        ("\ud800", "@tostr", MISSING),
    ],
    ids=lambda value: value[:16] if isinstance(value, str) else None,
)
def test_no_depth_is_too_much(document: Any, path: str, expected: Any) -> None:
    assert find(document, path) == expected


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (["a" * 10**5 + "c"], f'#(%"{"*a" * 30}b")'),
        (["a" * 10**5 + "c"], f'#(%"{"*a?" * 30}b*")'),
        ({"a" * 10**5: 1}, "*a" * 30 + "b"),
        ({"x": list(range(10**4)), **{str(index): [] for index in range(10**4)}}, "@group|@dig:missing"),
        ({}, "[" * 3000),
        ({}, "@this|" * 3000),
    ],
    ids=lambda value: value[:16] if isinstance(value, str) else None,
)
def test_nothing_takes_long(document: Any, path: str) -> None:
    start = time.process_time()
    find(document, path)
    assert time.process_time() - start < 2
