from __future__ import annotations

import pytest
from msgspec import Raw

from gateway.formats.format import Mismatch, Unmergeable
from gateway.formats.rows import Rows, cut_array

ROWS = Rows(("rows",), ("answers",), ("answer",))


def test_rows_are_counted_and_joined_as_they_stand() -> None:
    one, two = ROWS.read(b'{ "rows" : [1e400 , 2], "a": "b" }'), ROWS.read(b'{"rows":[9007199254740993],"a":"b"}')
    assert (one.rows, two.rows) == (2, 1)
    assert one.key == two.key
    assert ROWS.join([one, two]) == b'{"rows":[1e400 , 2,9007199254740993],"a":"b"}'


def test_rows_of_objects_have_the_key_of_their_names() -> None:
    one, two, other = (ROWS.read(b'{"rows": [{%b}]}' % inside) for inside in (b'"a":1', b'"a":2', b'"b":1'))
    assert one.key == two.key != other.key


@pytest.mark.parametrize(
    "other", [b'{"rows": [[1]]}', b'{"rows": ["1"]}', b'{"rows": [{"b64": "eA=="}]}', b'{"rows": [1], "a": 1}']
)
def test_rows_of_another_shape_or_in_other_company_have_another_key(other: bytes) -> None:
    assert ROWS.read(other).key != ROWS.read(b'{"rows": [1]}').key


@pytest.mark.parametrize(
    ("body", "reason"), [(b'{"rows": 1}', "shape"), (b'{"rows": {"b64": ""}}', "shape"), (b'{"rows": [ ]}', "empty")]
)
def test_no_rows(body: bytes, reason: str) -> None:
    with pytest.raises(Unmergeable) as caught:
        ROWS.read(body)
    assert caught.value.reason == reason


def test_rows_elsewhere_are_not_found() -> None:
    with pytest.raises(KeyError):
        ROWS.read(b'{"instances": [1]}')


@pytest.mark.parametrize("name", [b"answers", b"answer"])
def test_answers_are_cut_wherever_they_are(name: bytes) -> None:
    body = b'{"model":"m","%b":[1, [2], {"c":3}],"n":4}' % name
    assert ROWS.cut(body, [(0, 1), (1, 3)]) == [
        b'{"model":"m","%b":[1],"n":4}' % name,
        b'{"model":"m","%b":[[2],{"c":3}],"n":4}' % name,
    ]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"answers": [1, 2]}', "2 rows came back for 3"),
        (b'{"answers": [1, 2, 3, 4]}', "4 rows came back for 3"),
        (b'{"answers": {"a": [1, 2, 3]}}', "object"),
        (b'{"answers": "abc"}', "string"),
        (b'{"predictions": [1, 2, 3]}', "there is no 'answers'"),
        (b'{"answers": [1, 2, 3], "scores": [1, 2, 3]}', "scores"),
        (b'{"answers": [1, 2, 3], "meta": {"scores": [1, 2, 3]}}', "meta"),
    ],
)
def test_answers_that_do_not_add_up(body: bytes, detail: str) -> None:
    with pytest.raises(Mismatch, match=detail):
        ROWS.cut(body, [(0, 1), (1, 3)])


def test_an_array_in_pieces() -> None:
    assert [bytes(piece) for piece in cut_array(Raw(b"[1, 2.0,\n3]"), [(0, 2), (2, 3)])] == [b"[1,2.0]", b"[3]"]
