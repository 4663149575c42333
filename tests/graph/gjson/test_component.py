from __future__ import annotations

from gateway.graph.gjson.component import Search, find
from gateway.graph.gjson.path import Compiler
from gateway.graph.gjson.text import MISSING


def search(path: str, document: dict[str, object] | list[object]) -> tuple[bool, object, bool]:
    """Whether the search is over, what it found, and whether something is piped after it."""
    state = Search()
    over = find(Compiler().component(path), document, state)
    return over, state.found, state.pipe is not None


def test_a_wildcard_looks_further_until_the_search_is_over() -> None:
    assert search("*.b", {"x": {"a": 1}, "y": {"b": 2}, "z": {"b": 3}}) == (True, 2, False)


def test_the_first_match_settles_a_search_even_with_nothing() -> None:
    assert search("*.#(a==1).b", {"x": [{"a": 1}], "y": [{"a": 1, "b": 2}]}) == (True, MISSING, False)


def test_all_matches_leave_their_array_behind_and_look_further() -> None:
    assert search("*.#(a==1)#", {"x": [], "y": [{"a": 1}]}) == (False, [], False)


def test_a_pipe_counts_only_where_the_search_came_by() -> None:
    assert search("a.b|c", {"a": {"x": 1}}) == (False, MISSING, True)
    assert search("a.b|c", {"x": {"b": 1}}) == (False, MISSING, False)
    assert search("#(a==1).b|c", [{"a": 1}]) == (True, MISSING, True)
    assert search("#(a==1).b|c", [{"a": 2}]) == (False, MISSING, False)
