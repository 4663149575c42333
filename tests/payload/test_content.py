import base64
import re
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.payload.content import as_json, batched, binary, structured
from gateway.payload.dialect import CloudEvent

JSON = "application/json"


def event(data: bytes = b'{"a": 1.00}', kind: str = JSON, **attributes: Any) -> CloudEvent:
    return CloudEvent({"specversion": "1.0", "id": "x"} | attributes, kind, data)


def test_binary() -> None:
    headers, body = binary([event(status=200, truncated=True)])
    assert body == b'{"a": 1.00}'
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "x",
        "ce-status": "200",
        "ce-truncated": "true",
        "content-type": JSON,
    }


def test_binary_without_a_content_type() -> None:
    assert "content-type" not in binary([event(kind="")]).headers


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_attributes_are_percent_encoded(text: str) -> None:
    value = binary([event(step=text)]).headers["ce-step"]
    assert re.fullmatch("[!#-~]*", value)
    assert unquote(value) == text


def test_json_stays_as_it_was_digit_for_digit() -> None:
    headers, body = structured([event()])
    assert headers == {"content-type": "application/cloudevents+json; charset=UTF-8"}
    assert b'"data":{"a": 1.00}' in body
    assert orjson.loads(body) == {"specversion": "1.0", "id": "x", "datacontenttype": JSON, "data": {"a": 1.0}}


@pytest.mark.parametrize(
    ("data", "kind", "member"),
    [
        (b"[1]", "application/vnd.x+json; charset=utf-8", {"data": [1]}),
        (b"[1]", "text/json", {"data": [1]}),
        (b"[1]", "", {"data": [1]}),
        (b"{cut", JSON, "base64"),
        (b"NaN", JSON, "base64"),
        (b"caf\xc3\xa9", "text/plain", {"data": "café"}),
        (b"caf\xe9", "text/plain", "base64"),
        (b"[1]", "application/octet-stream", "base64"),
        (b"[1]", "application/jsonl", "base64"),
        (b"", JSON, {}),
    ],
)
def test_data_is_json_or_text_where_it_is_and_else_base64(data: bytes, kind: str, member: Any) -> None:
    whole = orjson.loads(as_json(event(data, kind)))
    found = {name: value for name, value in whole.items() if name.startswith("data") and name != "datacontenttype"}
    assert found == ({"data_base64": base64.b64encode(data).decode()} if member == "base64" else member)


def test_one_line_whatever_the_body() -> None:
    assert b"\n" not in as_json(event(b'{\n "a":\r\n 1}'))
    assert orjson.loads(as_json(event(b'{\n "a":\r\n 1}')))["data"] == {"a": 1}


def test_batched() -> None:
    headers, body = batched([event(), event(b"\x00", "x/y")])
    assert headers["content-type"].startswith("application/cloudevents-batch+json")
    assert [one["id"] for one in orjson.loads(body)] == ["x", "x"]
