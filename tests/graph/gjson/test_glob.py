from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.graph.gjson.glob import compile_glob


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("?", "é", True),
        ("?", "", False),
        ("a*c", "abbc", True),
        ("a*c", "ac", True),
        ("aa*aa", "aaa", False),
        ("*b*", "abc", True),
        ("**", "x", True),
        ("a.c", "abc", False),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        (r"*\?", "ab?", True),
        ("*\n?", "a\nb", True),
        ("a\\", "a\\", False),
        ("*\\", "a\\", True),
    ],
)
def test_a_pattern_matches_from_end_to_end(pattern: str, text: str, expected: bool) -> None:
    assert compile_glob(pattern)(text) is expected


@settings(deadline=None)
@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_it_agrees_with_a_shell(pattern: str, text: str) -> None:
    assert compile_glob(pattern)(text) is fnmatchcase(text, pattern)
