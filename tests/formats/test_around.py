from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.formats.around import Around
from gateway.formats.format import Unmergeable
from tests.formats.servers import dumps

values = st.recursive(
    st.sampled_from((1, True, None, "[", "]", "}")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
bodies = st.dictionaries(st.sampled_from(("rows", "data", "a")), values, max_size=3).map(dumps)


def read(around: Around, body: bytes) -> object:
    """What it says, or how it fails."""
    try:
        levels, beside, rows = around.read(body)
    except (Unmergeable, KeyError, ValueError) as error:
        return type(error)
    # Of the way to the rows itself, which is put together anew, the text does not matter.
    return [list(level) for level in levels], beside, rows


@given(st.lists(bodies | st.text(alphabet='{}[]":,rows1 ', max_size=20).map(str.encode), max_size=20))
def test_what_is_known_is_as_if_it_were_read_again(some: list[bytes]) -> None:
    for path in ((), ("rows",), ("data", "a")):
        knowing = Around(path)
        for body in some:
            assert read(knowing, body) == read(Around(path), body)


def test_what_stands_beside_and_on_the_way_is_that_of_the_first() -> None:
    around = Around(("data", "rows"))
    for rows in (b"[1]", b'["]"]', b"[[2]]"):
        levels, beside, found = around.read(b'{"a": 1e400, "data": {"rows":%b, "b": 2}}' % rows)
        assert found == rows
        assert [{name: bytes(value) for name, value in level.items() if name in "ab"} for level in levels] == [
            {"a": b"1e400"},
            {"b": b"2"},
        ]
        assert beside == around.read(b'{"a": 1e400, "data": {"rows":[], "b": 2}}')[1]


@pytest.mark.parametrize(
    "body",
    [
        b'{"rows": [1], "rows": [2]}',
        b'{"rows": [1], "other": [2]}',
        b'{"rows": [1]} , [2]}',
        b'{"rows": [1,]}',
        b'{"rows": [NaN]}',
        b'{"rows": ["\xff"]}',
        b'{"rows": []]}',
        b'{"rows": [[]}',
        b'{"rows": ]}',
    ],
)
def test_a_known_beginning_and_end_prove_nothing_of_what_is_between(body: bytes) -> None:
    knowing = Around(("rows",))
    knowing.read(b'{"rows": [1]}')
    assert read(knowing, body) == read(Around(("rows",)), body)


def test_it_knows_only_so_much() -> None:
    around: Any = Around(("rows",))
    for number in range(1000):
        around.read(b'{"rows": [1], "n": %d}' % number)
        around.read(b'{"rows": [1], "n": "%b"}' % (b"%d" % number * 1000))
        assert len(around._known) <= 64
    assert all(len(value) < 2000 for known in around._known for value in known)


def test_no_row_is_kept() -> None:
    around: Any = Around(("data", "rows"))
    around.read(b'{"data": {"rows": ["secret"]}}')
    ((levels, _),) = around._known.values()
    assert levels
    assert not any(b"secret" in bytes(value) for level in levels for value in level.values())
