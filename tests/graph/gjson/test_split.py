from __future__ import annotations

import pytest

from gateway.graph.gjson import split
from gateway.graph.gjson.split import Query, Selector, Tail


@pytest.mark.parametrize(
    ("text", "key", "wild", "tail"),
    [
        ("a", "a", False, Tail(None, None)),
        ("a.b.c", "a", False, Tail("b.c", None)),
        ("a|b", "a", False, Tail(None, "b")),
        ("a.", "a", False, Tail("", None)),
        ("a.@this", "a", False, Tail(None, "@this")),
        ("a.@other", "a", False, Tail("@other", None)),
        ("a.{b}", "a", False, Tail(None, "{b}")),
        (r"a\.b\|c.d", "a.b|c", False, Tail("d", None)),
        (r"a\*", "a*", False, Tail(None, None)),
        ("a*", "a*", True, Tail(None, None)),
        (r"a\*b?", "a*b?", True, Tail(None, None)),
        ("a\\", "a", False, Tail(None, None)),
    ],
)
def test_a_key(text: str, key: str, wild: bool, tail: Tail) -> None:
    assert split.split_key(text) == (key, wild, tail)


@pytest.mark.parametrize(
    ("text", "part", "tail"),
    [
        ("0.a", "0", Tail("a", None)),
        ("0.@this", "0", Tail(None, "@this")),
        (r"a\.b", "a\\", Tail("b", None)),
        ("#", "#", Tail(None, None)),
        ("#.@this", "#", Tail("@this", None)),
        ("#|a", "#", Tail(None, "a")),
    ],
)
def test_an_index(text: str, part: str, tail: Tail) -> None:
    assert split.split_index(text) == (part, None, tail)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("#(a==1)", Query("a", "=", "1", 7)),
        ("#( a  !=  b )x", Query("a", "!=", "b", 13)),
        ('#(a%"x*")', Query("a", "%", "x*", 9)),
        (r'#(a="\"x\"")', Query("a", "=", '"x"', 12)),
        ("#(a.#(b==1))", Query("a.#(b==1)", "", "", 12)),
        ("#[a>=1]", Query("a", ">=", "1", 7)),
        ('#("a=b"=1)', Query('"a=b"', "=", "1", 10)),
        (r"#(a\=b=1)", Query(r"a\=b", "=", "1", 9)),
        ("#(a!)", Query("a", "!", "", 5)),
        ("#()", Query("", "", "", 3)),
        ("#(a", None),
        ('#(a=="b)', None),
    ],
)
def test_a_query(text: str, query: Query | None) -> None:
    assert split.split_query(text) == query


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        ("a.b", Tail("a.b", None)),
        ("a|b|c", Tail("a", "b|c")),
        (r"a\|b|c", Tail(r"a\|b", "c")),
        ("a.#(b|c)|d", Tail("a.#(b|c)", "d")),
        ('a.#(b==")|")|d', Tail('a.#(b==")|")', "d")),
        ("a.#|b", Tail("a.#|b", None)),
        ("{a|b}|c", Tail("{a|b}", "c")),
        ('{"a":b}|c', Tail('{"a":b}|c', None)),
    ],
)
def test_the_pipe_after_a_query(text: str, tail: Tail) -> None:
    assert split.split_pipe(text) == tail


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("@this", ("this", "", "")),
        ("@this.a", ("this", "", ".a")),
        ("@this|a", ("this", "", "|a")),
        ("@flatten:", ("flatten", "", "")),
        ('@flatten:{"deep":true}.a', ("flatten", '{"deep":true}', ".a")),
        ("@dig:a.b|c", ("dig", "a.b", "|c")),
        ("@dig:#(a|b)|c", ("dig", "#(a|b)", "|c")),
        ('@dig:"a|b"|c', ("dig", '"a|b"', "|c")),
        ("@other", None),
    ],
)
def test_a_modifier(text: str, parts: tuple[str, str, str] | None) -> None:
    assert split.split_modifier(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("!true.a", ("true", ".a")),
        ('!{"a":[1]}.a', ('{"a":[1]}', ".a")),
        ('!"a.b"', ('"a.b"', "")),
        ("!1.5", ("1.5", "")),
        ("!word", None),
    ],
)
def test_a_literal(text: str, parts: tuple[str, str] | None) -> None:
    assert split.split_literal(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[a,b.c]", ([Selector("", "a"), Selector("", "b.c")], "")),
        ('{"x":a,y:b}|c', ([Selector('"x"', "a"), Selector("y", "b")], "|c")),
        ("{a.#(b,c),d}", ([Selector("", "a.#(b,c)"), Selector("", "d")], "")),
        ("{a.@flatten:x}", ([Selector("", "a.@flatten:x")], "")),
        ("{@flatten:x}", ([Selector("@flatten", "x")], "")),
        (r"[a\,b]", ([Selector("", r"a\,b")], "")),
        ("[]", ([Selector("", "")], "")),
        ("[a", None),
    ],
)
def test_the_selectors_of_a_multipath(text: str, parts: tuple[list[Selector], str] | None) -> None:
    assert split.split_selectors(text) == parts


@pytest.mark.parametrize(
    ("path", "name"),
    [("a.b", "b"), ("a|b", "b"), (r"a\.b", r"a\.b"), ("a.#", "_"), ("a.@keys", "@keys"), (".", ""), ("", "")],
)
def test_the_name_of_what_was_given_none(path: str, name: str) -> None:
    assert split.last_name(path) == name
