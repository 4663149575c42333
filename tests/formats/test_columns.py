from __future__ import annotations

import pytest

from gateway.formats.columns import Columns
from gateway.formats.format import Mismatch, Unmergeable

COLUMNS = Columns()
SPANS = [(0, 1), (1, 3)]


def test_one_column() -> None:
    one, two = COLUMNS.read(b'{"inputs": [[1, 2]]}'), COLUMNS.read(b'{"inputs": [[3, 4], [5, 6]]}')
    assert (one.rows, two.rows, one.key) == (1, 2, two.key)
    assert COLUMNS.join([one, two]) == b'{"inputs":[[1, 2],[3, 4], [5, 6]]}'


def test_columns_by_name() -> None:
    one = COLUMNS.read(b'{"signature_name": "s", "inputs": {"x": [[1, 2]], "y": ["a"]}}')
    two = COLUMNS.read(b'{"signature_name": "s", "inputs": {"x": [[3, 4], [5, 6]], "y": ["b", "c"]}}')
    assert (one.rows, two.rows, one.key) == (1, 2, two.key)
    joined = b'{"signature_name":"s","inputs":{"x":[[1, 2],[3, 4], [5, 6]],"y":["a","b", "c"]}}'
    assert COLUMNS.join([one, two]) == joined


@pytest.mark.parametrize(
    "inputs",
    [
        b"[1]",
        b'{"": [1]}',
        b'{"x": [1], "y": [1]}',
        b'{"y": [1]}',
        b'{"x": [[1]]}',
        b'{"x": ["1"]}',
        b'{"x": [1]}, "signature_name": "s"',
    ],
)
def test_other_columns_have_another_key(inputs: bytes) -> None:
    assert COLUMNS.read(b'{"inputs": %b}' % inputs).key != COLUMNS.read(b'{"inputs": {"x": [1]}}').key


def test_a_column_without_a_name_is_not_a_column_called_nothing() -> None:
    assert COLUMNS.read(b'{"inputs": {"": [1]}}').key != COLUMNS.read(b'{"inputs": [1]}').key


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (b"1", "shape"),
        (b"{}", "shape"),
        (b'{"b64": "eA=="}', "shape"),
        (b'{"x": [1], "y": 2}', "shape"),
        (b'{"x": [1], "y": [1, 2]}', "shape"),
        (b"[]", "empty"),
        (b'{"x": [], "y": [ ]}', "empty"),
    ],
)
def test_no_rows_or_not_as_many_in_each(inputs: bytes, reason: str) -> None:
    with pytest.raises(Unmergeable) as caught:
        COLUMNS.read(b'{"inputs": %b}' % inputs)
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", [b"outputs", b"predictions"])
def test_one_output(name: bytes) -> None:
    assert COLUMNS.cut(b'{"%b": [[1], [2], [3]], "m": 1}' % name, SPANS) == [
        b'{"%b":[[1]],"m":1}' % name,
        b'{"%b":[[2],[3]],"m":1}' % name,
    ]


def test_outputs_by_name() -> None:
    assert COLUMNS.cut(b'{"outputs": {"a": [1, 2, 3], "b": ["x", "y", "z"]}}', SPANS) == [
        b'{"outputs":{"a":[1],"b":["x"]}}',
        b'{"outputs":{"a":[2,3],"b":["y","z"]}}',
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b'{"outputs": [1, 2]}',
        b'{"outputs": {"a": [1, 2, 3], "b": [1]}}',
        b'{"outputs": {"a": [1, 2, 3], "b": 1}}',
        b'{"outputs": {}}',
        b'{"results": [1, 2, 3]}',
        b'{"outputs": [1, 2, 3], "scores": [1, 2, 3]}',
    ],
)
def test_answers_that_do_not_add_up(answer: bytes) -> None:
    with pytest.raises(Mismatch):
        COLUMNS.cut(answer, SPANS)
