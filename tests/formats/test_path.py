from __future__ import annotations

import pytest

from gateway.formats.format import Mismatch
from gateway.formats.path import ascend, check_others, descend, others

BODY = b' {"a": 1e400, "data": {"names": ["x"], "rows" : [1, 2] } } '


def test_down_and_up_again() -> None:
    levels, rows = descend(BODY, ("data", "rows"))
    assert bytes(rows) == b"[1, 2]"
    assert ascend(levels, ("data", "rows"), rows) == b'{"a":1e400,"data":{"names":["x"],"rows":[1, 2]}}'
    assert ascend(levels, ("data", "rows"), []) == b'{"a":1e400,"data":{"names":["x"],"rows":[]}}'


def test_no_path_is_the_body() -> None:
    levels, whole = descend(b" [1, 2]\n", ())
    assert (levels, bytes(whole)) == ([], b"[1, 2]")
    assert ascend(levels, (), whole) == b"[1, 2]"


@pytest.mark.parametrize("path", [("b",), ("data", "b")])
def test_nothing_there(path: tuple[str, ...]) -> None:
    with pytest.raises(KeyError):
        descend(BODY, path)


@pytest.mark.parametrize("path", [("a", "b"), ("data", "rows", "0")])
def test_no_object_on_the_way(path: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):
        descend(BODY, path)


def test_bytes_that_are_not_utf8() -> None:
    with pytest.raises(ValueError):
        descend(b'["\xff"]', ())


@pytest.mark.parametrize(
    ("body", "same"),
    [
        (b'{"data": {"rows": [], "names": ["x"]}, "a": 1e400}', True),
        (b'{"a": 1e401, "data": {"names": ["x"], "rows" : [1, 2] } }', False),
        (b'{"a": 1e400, "data": {"names": ["y"], "rows" : [1, 2] } }', False),
        (b'{"a": 1e400, "data": {"rows" : [1, 2] } }', False),
        (b'{"a": 1e400, "b": 1, "data": {"names": ["x"], "rows" : [1, 2] } }', False),
    ],
)
def test_what_stands_beside(body: bytes, same: bool) -> None:
    path = ("data", "rows")
    assert (others(descend(body, path)[0], path) == others(descend(BODY, path)[0], path)) == same
    assert hash(others(descend(body, path)[0], path))


def test_an_array_beside_the_rows_that_is_as_long() -> None:
    levels, _ = descend(BODY, ("data", "rows"))
    check_others(levels, ("data", "rows"), 2)
    with pytest.raises(Mismatch, match="names"):
        check_others(levels, ("data", "rows"), 1)
    with pytest.raises(Mismatch, match="data"):
        check_others(levels[:1], ("a",), 2)
