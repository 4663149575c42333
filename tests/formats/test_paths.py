from __future__ import annotations

import pytest

from gateway.formats.format import Mismatch, Unmergeable
from gateway.formats.paths import Paths, path_of
from gateway.message import Response
from tests.formats.cases import merged, post

TEXT = Paths(("text",), ("predictions",))
SELDON = Paths(("data", "ndarray"), ("data", "ndarray"))
WHOLE = Paths((), ())


@pytest.mark.parametrize(
    ("written", "path"), [("text", ("text",)), ("data.ndarray", ("data", "ndarray")), ("$", ()), ("$.a", ("$", "a"))]
)
def test_paths_as_they_are_written(written: str, path: tuple[str, ...]) -> None:
    assert path_of(written) == path


@pytest.mark.parametrize("written", ["", ".", "a.", ".a", "a..b"])
def test_what_is_no_path(written: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        path_of(written)


def test_a_list_of_texts() -> None:
    call, members = merged(
        TEXT, post(b'{"text": ["a"]}', b"/model/predict"), post(b'{"text": ["b", "c"]}', b"/model/predict")
    )
    assert (call.target, call.body) == (b"/model/predict", b'{"text":["a","b", "c"]}')
    answer = Response(200, [], b'{"status": "ok", "predictions": [[0.1], [0.20], [3e-1]]}')
    assert [share.body for share in TEXT.split(answer, members)] == [
        b'{"status":"ok","predictions":[[0.1]]}',
        b'{"status":"ok","predictions":[[0.20],[3e-1]]}',
    ]


def test_rows_further_inside() -> None:
    one = b'{"meta":{},"data":{"names":["x"],"ndarray":[[1]]}}'
    call, members = merged(SELDON, post(one), post(one.replace(b"1", b"2")))
    assert call.body == b'{"meta":{},"data":{"names":["x"],"ndarray":[[1],[2]]}}'
    answer = Response(200, [], b'{"data":{"names":["y"],"ndarray":[[3],[4]]}}')
    assert SELDON.split(answer, members)[1].body == b'{"data":{"names":["y"],"ndarray":[[4]]}}'


def test_the_body_itself() -> None:
    call, members = merged(WHOLE, post(b"[1, 2]"), post(b"[3]"))
    assert call.body == b"[1, 2,3]"
    assert [share.body for share in WHOLE.split(Response(200, [], b"[4,5,6]"), members)] == [b"[4,5]", b"[6]"]


def test_what_stands_beside_the_rows_keeps_calls_apart() -> None:
    keys = {
        TEXT.member(post(b'{"text": ["a"], "lang": "%b"}' % lang, target)).key
        for lang in (b"en", b"de")
        for target in (b"/a", b"/b", b"/a?x")
    }
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"texts": ["a"]}', "malformed"),
        (b'["a"]', "malformed"),
        (b'{"text": "a"}', "shape"),
        (b'{"text": {}}', "shape"),
        (b'{"text": []}', "empty"),
        (b"text=a", "malformed"),
    ],
)
def test_what_is_not_merged(body: bytes, reason: str) -> None:
    with pytest.raises(Unmergeable) as caught:
        TEXT.member(post(body))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "answer", [b'{"predictions": [1]}', b'{"predictions": {"a": [1, 2]}}', b'{"prediction": [1, 2]}', b"[1, 2]", b"ok"]
)
def test_answers_that_do_not_add_up(answer: bytes) -> None:
    _, members = merged(TEXT, post(b'{"text": ["a"]}'), post(b'{"text": ["b"]}'))
    with pytest.raises(Mismatch):
        TEXT.split(Response(200, [], answer), members)
