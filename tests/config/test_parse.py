import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.nodes import MappingNode, ScalarNode, SequenceNode
from gateway.config.parse import parse
from gateway.config.report import Place, Report


def complaint(text: str | bytes) -> str:
    report = Report("f")
    parse(text if isinstance(text, bytes) else text.encode(), "f", report)
    assert not report.complete
    (error,) = report.errors
    return str(error)


def test_nodes_know_their_places() -> None:
    (root,) = parse(b"a:\n  - x\n  - 'y'\n", "f", Report("f"))
    assert isinstance(root, MappingNode)
    ((key, value),) = root.pairs
    assert key == ScalarNode("a", True, Place("f", 1, 1))
    assert isinstance(value, SequenceNode)
    assert value.items == [ScalarNode("x", True, Place("f", 2, 5)), ScalarNode("y", False, Place("f", 3, 5))]


def test_several_documents() -> None:
    assert len(parse(b"a: 1\n---\nb: 2\n---\n", "f", Report("f"))) == 3
    assert parse(b"", "f", Report("f")) == []


def test_aliases_share_their_node() -> None:
    (root,) = parse(b"a: &x {b: 1}\nc: *x\n", "f", Report("f"))
    assert isinstance(root, MappingNode)
    assert root.pairs[0][1] is root.pairs[1][1]


def test_tags_of_the_core_schema_decide_what_is_text() -> None:
    (root,) = parse(b"[!!str 5, !!int '5', ! 5, !!map {}, !!seq []]", "f", Report("f"))
    assert isinstance(root, SequenceNode)
    assert [item.plain for item in root.items if isinstance(item, ScalarNode)] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: b: c", "f:1:5: not valid YAML: mapping values are not allowed in this context"),
        ("a: 'x", "f:1:6: not valid YAML: found unexpected end of stream while scanning a quoted scalar"),
        ("a:\n\t- b", "f:2:1: not valid YAML: found character that cannot start any token"),
        ("a: !secret x", "f:1:4: the tag '!secret' has no meaning here"),
        ("a: !!python/object:os.system x", "has no meaning here"),
        ("a: *b", "f:1:4: the alias '*b' has no anchor '&b' that ends before it"),
        ("a: &a [*a]", "f:1:8: the alias '*a' has no anchor '&a' that ends before it"),
        ("{a: ${B}}", "between braces and brackets ${NAME} needs quotes"),
        (b"a: \xff", "f:1:4: not UTF-8 text"),
        ("ä: b\nc: \x00", r"f:2:4: the control character '\x00' is not allowed in YAML"),
        ("a: 1".encode("utf-16"), "f:1:1: not UTF-8 text"),
    ],
)
def test_what_is_no_yaml_has_a_place_too(text: str | bytes, error: str) -> None:
    assert error in complaint(text)


def test_a_byte_order_mark_is_no_text() -> None:
    (root,) = parse(b"\xef\xbb\xbfa: 1", "f", Report("f"))
    assert isinstance(root, MappingNode)
    assert root.pairs[0][0] == ScalarNode("a", True, Place("f", 1, 1))


def test_documents_before_a_mistake_are_kept() -> None:
    report = Report("f")
    assert len(parse(b"a: 1\n---\nb: [\n", "f", report)) == 1
    assert len(report.errors) == 1


def test_aliases_cannot_explode() -> None:
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for this, last in zip("bcdefghi", "abcdefgh", strict=True):
        laughs += f"{this}: &{this} [{', '.join([f'*{last}'] * 9)}]\n"
    start = time.perf_counter()
    assert "expand to too many values" in complaint(laughs)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("text", ["[" * 200 + "]" * 200, "{a: " * 200 + "}" * 200, "[" * 20_000 + "]" * 20_000])
def test_no_nesting_reaches_the_stack(text: str) -> None:
    assert "nested deeper than 100 levels" in complaint(text)


def test_aliases_count_as_nesting() -> None:
    chain = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 200))
    assert "nested deeper than 100 levels" in complaint(chain)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_nothing_but_findings_comes_of_any_bytes(data: bytes) -> None:
    parse(data, "f", Report("f"))


@settings(deadline=None)
@given(st.text(alphabet="abc:-[]{}&*!|>'\"#%@`,? \n\t$<", max_size=80))
def test_nothing_but_findings_comes_of_anything_like_yaml(text: str) -> None:
    parse(text.encode(), "f", Report("f"))
