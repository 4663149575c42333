from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.formats.format import Mismatch, Unmergeable
from gateway.formats.v1 import V1
from gateway.message import Request, Response
from tests.formats.cases import merged, post, served
from tests.formats.servers import Number, dumps, loads, v1

FORMAT = V1()

numbers = st.sampled_from(("9007199254740993", "1e400", "-0", "0.10000000000000000555", "5", "1E+2")).map(Number)
scalars = (numbers, st.text(max_size=3), st.booleans())


def arrays(shape: tuple[int, ...], scalar: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    for length in reversed(shape):
        scalar = st.lists(scalar, min_size=length, max_size=length)
    return scalar


@st.composite
def columns(draw: st.DrawFn, rows: int) -> Any:
    """One tensor, or some with names, with so many rows each."""
    shape, scalar = draw(st.sampled_from(((), (2,), (2, 1)))), draw(st.sampled_from(scalars))
    tensor = arrays((rows, *shape), scalar)
    return draw(tensor | st.fixed_dictionaries({"x": tensor}, optional={"y": tensor}))


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    """A verb and a body of any kind; few kinds, so that many of them go together."""
    rows = draw(st.integers(1, 3))
    verb = draw(st.sampled_from((b"predict", b"predict", b"classify")))
    name = "examples" if verb == b"classify" else draw(st.sampled_from(("instances", "inputs")))
    value = draw(columns(rows))
    if name != "inputs" and isinstance(value, dict):
        value = [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    said = draw(st.fixed_dictionaries({}, optional={"signature_name": st.sampled_from("ab"), "context": numbers}))
    return verb, said | {name: value}


@st.composite
def requests(draw: st.DrawFn) -> Request:
    verb, body = draw(bodies())
    return post(dumps(body, draw(st.sampled_from(("", " ", "\n\t")))), b"/v1/models/m:" + verb)


def rows_in(message: Request | Response) -> Any:
    names = ("instances", "inputs", "examples", "predictions", "outputs", "results")
    body = loads(message.body)
    return next(body[name] for name in names if name in body)


@given(st.lists(requests(), min_size=1, max_size=12))
def test_merged_and_split_every_caller_gets_its_own(requests: list[Request]) -> None:
    for request, answer in served(FORMAT, requests, v1):
        assert rows_in(answer) == rows_in(request)


@given(st.lists(requests(), min_size=2, max_size=8))
def test_requests_of_one_key_are_alike_but_for_their_rows(requests: list[Request]) -> None:
    alike: dict[object, object] = {}
    for request in requests:
        body = loads(request.body)
        names = {"instances", "inputs", "examples"} & body.keys()
        rest = (request.target, names, {name: value for name, value in body.items() if name not in names})
        assert alike.setdefault(FORMAT.member(request).key, rest) == rest


@given(requests(), st.integers(-2, 2).filter(bool))
def test_an_answer_with_more_or_fewer_rows_is_never_cut(request: Request, more: int) -> None:
    _, members = merged(FORMAT, request, request)
    count = 2 * members[0].rows + more
    for name in (b"predictions", b"outputs", b"results"):
        with pytest.raises(Mismatch):
            FORMAT.split(Response(200, [], b'{"%b":%b}' % (name, dumps([1] * count))), members)


@given(st.binary(max_size=30) | st.text(alphabet='{}[]":,instace01 ', max_size=30).map(str.encode))
def test_nothing_that_clients_send_is_more_than_unmergeable(body: bytes) -> None:
    for around in (b"%b", b'{"instances":%b}', b'{"inputs":[%b]}', b'{"instances":[%b]}'):
        try:
            member = FORMAT.member(post(around % body))
        except Unmergeable:
            continue
        assert member.rows > 0


@given(st.binary(max_size=30) | st.text(alphabet='{}[]":,predictons01 ', max_size=30).map(str.encode))
def test_nothing_that_servers_answer_is_more_than_a_mismatch(body: bytes) -> None:
    _, members = merged(FORMAT, post(b'{"instances":[1]}'), post(b'{"instances":[2]}'))
    for around in (b"%b", b'{"predictions":%b}', b'{"predictions":[%b]}', b'{"predictions":[1,%b]}'):
        try:
            shares = FORMAT.split(Response(200, [], around % body), members)
        except Mismatch:
            continue
        assert [len(rows_in(share)) for share in shares] == [1, 1]


def test_rows() -> None:
    one = post(b'{"signature_name": "s", "instances": [[1.0, 9007199254740993], [1e400, -0]]}')
    call, members = merged(FORMAT, one, post(b'{"instances": [[1E+2, 0.10]], "signature_name": "s"}'))
    assert call.body == b'{"signature_name":"s","instances":[[1.0, 9007199254740993], [1e400, -0],[1E+2, 0.10]]}'
    answer = Response(200, [], b'{"predictions": [9007199254740993, 1e400, 0.30]}')
    assert [share.body for share in FORMAT.split(answer, members)] == [
        b'{"predictions":[9007199254740993,1e400]}',
        b'{"predictions":[0.30]}',
    ]


def test_columns_answered_the_way_kserve_does() -> None:
    call, members = merged(FORMAT, post(b'{"inputs": [[1]]}'), post(b'{"inputs": [[2]]}'))
    assert call.body == b'{"inputs":[[1],[2]]}'
    shares = FORMAT.split(Response(200, [], b'{"predictions": [3, 4]}'), members)
    assert [share.body for share in shares] == [b'{"predictions":[3]}', b'{"predictions":[4]}']


@pytest.mark.parametrize("verb", [b"classify", b"regress"])
@pytest.mark.parametrize("name", [b"results", b"result"])
def test_examples(verb: bytes, name: bytes) -> None:
    target = b"/v1/models/m/versions/3:" + verb
    one = b'{"context": {"c": 1}, "examples": [{"x": 1}]}'
    call, members = merged(FORMAT, post(one, target), post(one, target))
    assert call.body == b'{"context":{"c": 1},"examples":[{"x": 1},{"x": 1}]}'
    shares = FORMAT.split(Response(200, [], b'{"%b": [[["a", 1]], [["b", 2]]]}' % name), members)
    assert [share.body for share in shares] == [b'{"%b":[[["a", 1]]]}' % name, b'{"%b":[[["b", 2]]]}' % name]


@pytest.mark.parametrize(
    "other",
    [
        post(b'{"instances": [1], "parameters": {"k": 1}}'),
        post(b'{"inputs": [1]}'),
        post(b'{"instances": [1]}', b"/v1/models/other:predict"),
        post(b'{"instances": [1]}', b"/v1/models/iris/versions/2:predict"),
        post(b'{"instances": [1]}', b"/v1/models/iris:predict?k=1"),
    ],
)
def test_what_differs_in_more_than_its_rows_is_kept_apart(other: Request) -> None:
    assert FORMAT.member(other).key != FORMAT.member(post(b'{"instances": [1]}')).key


@pytest.mark.parametrize(
    ("target", "body", "reason"),
    [
        (b"/v1/models/m:explain", b'{"instances": [1]}', "path"),
        (b"/v1/models/m", b'{"instances": [1]}', "path"),
        (b"/v1/models/m:generate?:predict", b'{"instances": [1]}', "path"),
        (b"/v1/models/m:predict", b'{"instances": [1], "inputs": [1]}', "malformed"),
        (b"/v1/models/m:predict", b'{"examples": [1]}', "malformed"),
        (b"/v1/models/m:classify", b'{"instances": [1]}', "malformed"),
        (b"/v1/models/m:predict", b'{"instances": 1}', "shape"),
        (b"/v1/models/m:predict", b'{"instances": []}', "empty"),
        (b"/v1/models/m:predict", b'{"instances": [NaN]}', "malformed"),
        (b"/v1/models/m:predict", b"", "malformed"),
    ],
)
def test_what_is_not_merged(target: bytes, body: bytes, reason: str) -> None:
    with pytest.raises(Unmergeable) as caught:
        FORMAT.member(post(body, target))
    assert caught.value.reason == reason
