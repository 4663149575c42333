from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.formats.calls import Calls
from gateway.formats.format import Unmergeable
from tests.formats.servers import Number, dumps

numbers = st.sampled_from(("9007199254740993", "1e400", "-0", "5")).map(Number)
scalars = numbers | st.sampled_from(("]", "}", '"data"', "")) | st.booleans()
data = st.lists(scalars | st.lists(scalars, max_size=3), max_size=4)
PLAIN = b'{"inputs":[{"name":"x","shape":[%d,2],"datatype":"FP32","data":%b}]%b}'
BINARY = b'{"inputs":[{"name":"x","shape":[%d,2],"datatype":"%b","parameters":{"binary_data_size":%d}}]}'


def read(calls: Calls, body: bytes, end: int | None = None) -> object:
    """What it says, or how it fails."""
    try:
        call = calls.read(body, end)
    except Unmergeable as error:
        return error.reason
    except (KeyError, ValueError):
        return "malformed"
    inputs = [
        (
            {name: bytes(value) for name, value in one.members.items()},
            one.shape,
            one.nested,
            one.blob and bytes(one.blob),
        )
        for one in call.inputs
    ]
    beside = {name: bytes(value) for name, value in call.top.items() if name != "inputs"}
    return inputs, list(call.top), beside, call.framed, call.rows, call.key, call.id


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, int | None]:
    """Few kinds, so that most of them come again."""
    rows = draw(st.integers(1, 2))
    if draw(st.booleans()):
        datatype = draw(st.sampled_from((b"INT8", b"BYTES")))
        blob = draw(st.binary(max_size=5)) if datatype == b"INT8" else pack("<I", draw(st.integers(0, 2))) * rows * 2
        json = BINARY % (rows, datatype, draw(st.sampled_from((len(blob), 4, 16))))
        return json + blob, len(json)
    after = draw(st.sampled_from((b"", b',"parameters":{"k":1}', b',"id":"a"', b',"outputs":[{"name":"y"}]')))
    return PLAIN % (rows, dumps(draw(data)), after), None


@given(st.lists(bodies(), max_size=30))
def test_what_is_known_is_as_if_it_were_read_again(some: list[tuple[bytes, int | None]]) -> None:
    knowing = Calls()
    for body, end in some:
        assert read(knowing, body, end) == read(Calls(), body, end)


@pytest.mark.parametrize(
    "data",
    [
        b"[1,2]",
        b"[[1,2]]",
        b"[1]",
        b"[1,2,3]",
        b"[1,]",
        b"[NaN,1]",
        b'["}","]"]',
        b'["\xff",1]',
        b"[]",
        b"1",
        b"[1],[2]",
    ],
)
def test_a_known_beginning_and_end_prove_nothing_of_the_data(data: bytes) -> None:
    knowing = Calls()
    knowing.read(PLAIN % (1, b"[3,4]", b""), None)
    assert read(knowing, PLAIN % (1, data, b"")) == read(Calls(), PLAIN % (1, data, b""))


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[{"name":"x","data":[%d],"shape":[1],"datatype":"INT8","data":[1]}]}',
        b'{"inputs":[{"name":"x","data":[%d],"shape":[1],"datatype":"INT8","d\\u0061ta":[1]}]}',
        b'{"inputs":[{"name":"x","parameters":{"data":[%d]},"data":[1],"shape":[1],"datatype":"INT8"}]}',
        b'{"data":[%d],"inputs":[{"name":"x","data":[1],"shape":[1],"datatype":"INT8"}]}',
    ],
)
def test_what_else_is_called_data_is_not_taken_for_them(body: bytes) -> None:
    knowing = Calls()
    knowing.read(body % 1, None)
    assert read(knowing, body % 2) == read(Calls(), body % 2)


@pytest.mark.parametrize("blob", [b"", b"a", b"ab", b"abc"])
def test_a_known_head_proves_nothing_of_the_length(blob: bytes) -> None:
    knowing, json = Calls(), BINARY % (1, b"INT8", 2)
    knowing.read(json + b"xy", len(json))
    assert read(knowing, json + blob, len(json)) == read(Calls(), json + blob, len(json))


def test_it_knows_only_so_much_and_nothing_with_an_id() -> None:
    calls: Any = Calls()
    for number in range(1000):
        calls.read(PLAIN % (1, b"[1,2]", b',"n":%d' % number), None)
        calls.read(PLAIN % (1, b"[1,2]", b',"n":"%b"' % (b"%d" % number * 1000)), None)
        calls.read(PLAIN % (1, b"[1,2]", b',"id":"%d"' % number), None)
        assert 0 < len(calls._known) <= 64
    assert not any(call.id for call in calls._known.values())


def test_no_data_are_kept() -> None:
    calls: Any = Calls()
    calls.read(PLAIN % (1, b'["secret","secret"]', b""), None)
    json = BINARY % (1, b"INT8", 2)
    calls.read(json + b"xy", len(json))
    first, second = calls._known.values()
    assert bytes(first.inputs[0].members["data"]) == b"null"
    assert second.inputs[0].blob == b""
