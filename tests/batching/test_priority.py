from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.priority import Priorities
from gateway.formats.v2 import V2
from gateway.message import Headers, Request

LENGTH = b"inference-header-content-length"
LEVELS = Priorities(3, default=2, step=10.0, in_body=True)


def request(body: bytes = b"{}", headers: Headers | None = None) -> Request:
    return Request(b"POST", b"/v2/models/m/infer", list(headers or ()), body)


def infer(**top: Any) -> bytes:
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]}
    return json.dumps({"id": "7", **top, "inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("said", "behind"),
    [
        *((b"1", 0.0), (b"2", 10.0), (b"3", 20.0), (b"0", 10.0), (b"4", 10.0), (b"-1", 10.0), (b"high", 10.0)),
        *((b"", 10.0), (b"1" * 5000, 10.0), (b"\xb2", 10.0)),
    ],
)
def test_a_header_names_the_level_and_ends_here(said: bytes, behind: float) -> None:
    headers = [(b"a", b"b"), (b"x-priority", said), (b"x-priority", b"1")]
    asked = request(headers=headers)
    assert LEVELS.behind(asked) == behind
    assert asked.headers == [(b"a", b"b")]
    assert len(headers) == 3


def test_who_says_nothing_is_left_as_it_is() -> None:
    asked = request(b'{"priority": 1}')
    body, headers = asked.body, asked.headers
    assert LEVELS.behind(asked) == 10.0
    assert asked.body is body
    assert asked.headers is headers


def test_a_parameter_of_a_v2_body_names_the_level_and_ends_here() -> None:
    numbers = b'{"id":"7","parameters":{"a":1e400,"priority":1},"inputs":[9007199254740993]}'
    asked = request(numbers)
    asked.document = "read"
    assert LEVELS.behind(asked) == 0.0
    assert asked.body == b'{"id":"7","parameters":{"a":1e400},"inputs":[9007199254740993]}'
    assert asked.document != "read"


def test_a_body_without_other_parameters_is_as_if_there_had_been_none() -> None:
    asked, plain = request(infer(parameters={"priority": 3})), request(infer())
    assert LEVELS.behind(asked) == 20.0
    assert json.loads(asked.body) == json.loads(plain.body)
    assert V2().member(asked).key == V2().member(plain).key


def test_binary_data_stay_behind_the_json() -> None:
    head = b'{"parameters": {"priority": 1, "binary_data_output": true}, "inputs": []}'
    asked = request(head + b'\x00"priority"', [(LENGTH, b"%d" % len(head)), (b"a", b"b")])
    assert LEVELS.behind(asked) == 0.0
    (name, length), other = asked.headers
    assert (name, other) == (LENGTH, (b"a", b"b"))
    assert json.loads(asked.body[: int(length)]) == {"parameters": {"binary_data_output": True}, "inputs": []}
    assert asked.body[int(length) :] == b'\x00"priority"'


def test_the_header_wins_and_both_end_here() -> None:
    asked = request(infer(parameters={"priority": 1}), [(b"x-priority", b"3")])
    assert LEVELS.behind(asked) == 20.0
    assert asked.headers == []
    assert b"priority" not in asked.body


def test_other_protocols_have_no_such_parameter() -> None:
    asked = request(infer(parameters={"priority": 1}))
    assert Priorities(3, default=2, step=10.0, in_body=False).behind(asked) == 10.0
    assert b"priority" in asked.body


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"priority"', b'["priority"]', b'"priority"', b'{"priority":' + b"[" * 99999),
        *(infer(parameters={"priority": value}) for value in ("1", True, 1.5, None)),
        *(
            infer(parameters=["priority"]),
            infer(parameters=None, x="priority"),
            infer(parameters={"x": {"priority": 1}}),
        ),
    ],
)
@pytest.mark.parametrize("headers", [[], [(LENGTH, b"x")], [(LENGTH, b"0")], [(LENGTH, b"99999999")]])
def test_what_cannot_be_read_is_left_as_it_is(body: bytes, headers: Headers) -> None:
    asked = request(body, headers)
    assert LEVELS.behind(asked) == 10.0
    assert asked.body == body
    assert asked.headers == headers


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), st.integers(-5, 5), st.binary(max_size=20))
def test_nothing_else_is_touched(others: dict[str, Any], level: int, blob: bytes) -> None:
    others.pop("priority", None)
    top = {"parameters": {**others, "priority": level}, "inputs": [], "more": others}
    head = json.dumps(top).encode()
    asked = request(head + blob, [(LENGTH, b"%d" % len(head))])
    LEVELS.behind(asked)
    end = int(asked.headers[0][1])
    expected = {"parameters": others, "inputs": [], "more": others}
    if not others:
        del expected["parameters"]
    assert json.loads(asked.body[:end]) == expected
    assert asked.body[end:] == blob
