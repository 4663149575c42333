from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.formats.format import Mismatch, Unmergeable
from gateway.formats.v2 import V2
from gateway.message import Headers, Request, Response, header
from tests.formats.cases import JSON, merged, post, served
from tests.formats.servers import JSON_LENGTH, Number, dumps, loads, v2

FORMAT = V2(lambda: b"batch-1")
INFER = b"/v2/models/m/infer"

numbers = st.sampled_from(("9007199254740993", "1e400", "-0", "0.10000000000000000555", "5", "1E+2")).map(Number)
SIZES = {"BOOL": 1, "INT64": 8, "BF16": 2}


def framed(body: dict[str, Any], *blobs: bytes, space: str = "", headers: Headers = JSON) -> Request:
    """A request with binary data behind its JSON."""
    json = dumps(body, space)
    length = [(JSON_LENGTH, b"%d" % len(json))] if blobs else []
    return post(json + b"".join(blobs), INFER, [*headers, *length])


def parts(message: Request | Response) -> tuple[dict[str, Any], bytes]:
    """JSON and binary data."""
    end = header(message.headers, JSON_LENGTH)
    cut = len(message.body) if end is None else int(end)
    return loads(message.body[:cut]), message.body[cut:]


def strings(values: list[bytes]) -> bytes:
    return b"".join(pack("<I", len(value)) + value for value in values)


def folded(values: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """The values as arrays in arrays."""
    for length in reversed(shape[1:]):
        values = [values[at : at + length] for at in range(0, len(values), length)]
    return values


@st.composite
def tensors(draw: st.DrawFn, name: str, rows: int) -> tuple[dict[str, Any], bytes | None]:
    """A tensor with so many rows: flat, nested or binary."""
    shape = (rows, *draw(st.sampled_from(((), (2,), (1, 2)))))
    count = rows * (2 if len(shape) > 1 else 1)
    datatype = draw(st.sampled_from((*SIZES, "BYTES")))
    tensor: dict[str, Any] = {"name": name, "shape": [Number(length) for length in shape], "datatype": datatype}
    if draw(st.booleans()):
        one = (
            st.binary(max_size=3)
            if datatype == "BYTES"
            else st.binary(min_size=SIZES[datatype], max_size=SIZES[datatype])
        )
        values = draw(st.lists(one, min_size=count, max_size=count))
        blob = strings(values) if datatype == "BYTES" else b"".join(values)
        return tensor | {"parameters": {"binary_data_size": Number(len(blob))}}, blob
    scalars = st.text(alphabet='a,[]{}"é\\', max_size=3) if datatype == "BYTES" else numbers
    values = draw(st.lists(scalars, min_size=count, max_size=count))
    return tensor | {"data": draw(st.sampled_from((values, folded(values, shape))))}, None


@st.composite
def requests(draw: st.DrawFn) -> Request:
    rows = draw(st.integers(1, 3))
    inputs = [draw(tensors(name, rows)) for name in draw(st.sampled_from(("x", "x", "xy")))]
    said = draw(
        st.fixed_dictionaries({}, optional={"id": st.sampled_from("ab"), "parameters": st.just({"k": Number("1e400")})})
    )
    blobs = [blob for _, blob in inputs if blob is not None]
    return framed(
        {**said, "inputs": [tensor for tensor, _ in inputs]}, *blobs, space=draw(st.sampled_from(("", "\n ")))
    )


def rows_in(message: Request | Response) -> Any:
    """What the tensors hold, whatever stands around it."""
    body, blob = parts(message)
    tensors = body["inputs"] if "inputs" in body else body["outputs"]
    return tensors, blob


@given(st.lists(requests(), min_size=1, max_size=10))
def test_merged_and_split_every_caller_gets_its_own(requests: list[Request]) -> None:
    for request, answer in served(FORMAT, requests, v2):
        assert rows_in(answer) == rows_in(request)
        assert parts(answer)[0].get("id") == parts(request)[0].get("id")


@given(st.lists(requests(), min_size=2, max_size=8))
def test_requests_of_one_key_are_alike_but_for_their_rows(requests: list[Request]) -> None:
    alike: dict[object, object] = {}
    for request in requests:
        body, _ = parts(request)
        forms = [
            (tensor["name"], tensor["datatype"], tensor["shape"][1:], "data" in tensor) for tensor in body["inputs"]
        ]
        rest = ({name: value for name, value in body.items() if name not in ("id", "inputs")}, forms)
        assert alike.setdefault(FORMAT.member(request).key, rest) == rest


@given(requests(), st.data())
def test_a_request_whose_data_are_short_or_long_is_never_merged(request: Request, data: st.DataObject) -> None:
    body, blob = parts(request)
    tensor = data.draw(st.sampled_from(body["inputs"]))
    tensor["shape"] = [*tensor["shape"], Number(data.draw(st.sampled_from((2, 3))))]
    with pytest.raises(Unmergeable) as caught:
        FORMAT.member(framed(body, *([blob] if header(request.headers, JSON_LENGTH) else [])))
    assert caught.value.reason == "data"


@given(st.binary(max_size=30) | st.text(alphabet='{}[]":,namedtshp01 ', max_size=30).map(str.encode))
def test_nothing_that_clients_send_is_more_than_unmergeable(body: bytes) -> None:
    tensor = b'{"inputs":[{"name":"x","shape":[%b],"datatype":"INT8","data":[%b]}]}'
    for around in (body, b'{"inputs":[%b]}' % body, tensor % (body, b"1"), tensor % (b"1", body)):
        try:
            member = FORMAT.member(post(around, INFER))
        except Unmergeable:
            continue
        assert member.rows > 0


@given(st.binary(max_size=30) | st.text(alphabet='{}[]":,namedtshp01 ', max_size=30).map(str.encode))
def test_nothing_that_servers_answer_is_more_than_a_mismatch(body: bytes) -> None:
    _, members = merged(FORMAT, *[post(json(b"[1]"), INFER)] * 2)
    tensor = b'{"outputs":[{"name":"x","shape":[%b],"datatype":"INT8","data":[%b]}]}'
    for around in (body, b'{"outputs":[%b]}' % body, tensor % (body, b"1,2"), tensor % (b"2", body)):
        try:
            shares = FORMAT.split(Response(200, [], around), members)
        except Mismatch:
            continue
        assert [rows_in(share)[0][0]["shape"][0] for share in shares] == ["1", "1"]


def json(data: bytes, shape: bytes = b"[1]", before: bytes = b"", after: bytes = b"") -> bytes:
    """A body with one tensor."""
    return b'{%b"inputs":[{"name":"x","shape":%b,"datatype":"INT64","data":%b}]%b}' % (before, shape, data, after)


def test_json_tensors() -> None:
    one = post(json(b"[9007199254740993, 1e400]", b"[1,2]", b'"id":"c1",'), INFER)
    call, members = merged(FORMAT, one, post(json(b"[0.10,-0,3,4]", b"[2, 2]"), INFER))
    assert call.body == json(b"[9007199254740993, 1e400,0.10,-0,3,4]", b"[3,2]", b'"id":"batch-1",')
    answer = (
        b'{"model_name":"m","model_version":null,"id":"batch-1","parameters":{"p": 1},"outputs":'
        b'[{"name":"y","shape":[3],"datatype":"INT64","data":[9007199254740993, 2, 3]},'
        b'{"name":"z","shape":[3,1],"datatype":"FP64","parameters":null,"data":[[1e400], [0.10], [-0]]}]}'
    )
    head = b'{"model_name":"m","model_version":null,%b"parameters":{"p": 1},"outputs":'
    assert [share.body for share in FORMAT.split(Response(200, JSON, answer), members)] == [
        head % b'"id":"c1",' + b'[{"name":"y","shape":[1],"datatype":"INT64","data":[9007199254740993]},'
        b'{"name":"z","shape":[1,1],"datatype":"FP64","parameters":null,"data":[[1e400]]}]}',
        head % b"" + b'[{"name":"y","shape":[2],"datatype":"INT64","data":[2,3]},'
        b'{"name":"z","shape":[2,1],"datatype":"FP64","parameters":null,"data":[[0.10],[-0]]}]}',
    ]


def test_binary_tensors() -> None:
    def request(id: str, *texts: bytes) -> Request:
        blob = strings(list(texts))
        shape = [Number(len(texts))]
        said = {"binary_data_size": Number(len(blob))}
        tensor = {"name": "x", "shape": shape, "datatype": "BYTES", "parameters": said}
        more = {"name": "k", "shape": shape, "datatype": "BOOL", "data": [True] * len(texts)}
        outputs = {"parameters": {"binary_data_output": True}}
        return framed({"id": id, "inputs": [tensor, more], **outputs}, blob)

    call, members = merged(FORMAT, request("a", b""), request("b", b"x\0y", b""))
    json = (
        b'{"id":"batch-1","inputs":[{"name":"x","shape":[3],"datatype":"BYTES","parameters":{"binary_data_size":15}},'
        b'{"name":"k","shape":[3],"datatype":"BOOL","data":[true,true,true]}],"parameters":{"binary_data_output":true}}'
    )
    assert call.body == json + b"\0\0\0\0" + b"\3\0\0\0x\0y" + b"\0\0\0\0"
    assert call.headers == [*JSON, (JSON_LENGTH, b"%d" % len(json))]

    tensor = b'{"name":"y","shape":[%b],"datatype":"INT16","parameters":{"binary_data_size":%b}}'
    output = b'{"id":"batch-1","outputs":[' + tensor + b"]}"
    answer = output % (b"3,2", b"12")
    length = [(b"content-type", b"application/octet-stream"), (JSON_LENGTH, b"%d" % len(answer))]
    first, second = FORMAT.split(Response(200, length, answer + b"aabbccddeeff"), members)
    assert first.body == output.replace(b"batch-1", b"a") % (b"1,2", b"4") + b"aabb"
    assert second.body == output.replace(b"batch-1", b"b") % (b"2,2", b"8") + b"ccddeeff"
    assert first.headers == [*length[:1], (JSON_LENGTH, b"%d" % (len(first.body) - 4))]
    assert second.headers == [*length[:1], (JSON_LENGTH, b"%d" % (len(second.body) - 8))]


def test_a_binary_output_without_bytes_has_no_header() -> None:
    _, members = merged(FORMAT, *[post(json(b"[1]"), INFER)] * 2)
    output = b'{"outputs":[{"name":"y","shape":[%d,0],"datatype":"FP32","parameters":{"binary_data_size":0}}]}'
    shares = FORMAT.split(Response(200, JSON, output % 2), members)
    assert [(share.body, share.headers) for share in shares] == [(output % 1, JSON)] * 2


@pytest.mark.parametrize("own", [b"", b'"id":null,'])
def test_who_sent_no_id_gets_none(own: bytes) -> None:
    _, members = merged(FORMAT, post(json(b"[1]", before=own), INFER), post(json(b"[1]", before=b'"id":"b",'), INFER))
    outputs = b'"outputs":[{"name":"y","shape":[%d],"datatype":"INT8","data":[%b]}]}'
    answer = Response(200, [], b'{"id":"batch-1",' + outputs % (2, b"3,4"))
    assert [share.body for share in FORMAT.split(answer, members)] == [
        b"{" + outputs % (1, b"3"),
        b'{"id":"b",' + outputs % (1, b"4"),
    ]
    answer = Response(200, [], b"{" + outputs % (2, b"3,4"))
    assert [share.body for share in FORMAT.split(answer, members)] == [
        b"{" + outputs % (1, b"3"),
        b"{" + outputs % (1, b"4"),
    ]


def test_calls_have_ids_of_their_own() -> None:
    one, format = post(json(b"[1]"), INFER), V2()
    ids = {loads(merged(format, one, one)[0].body)["id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    "other",
    [
        post(json(b"[1]", after=b',"parameters":{"k":2}'), INFER),
        post(json(b"[1]", after=b',"outputs":[{"name":"y"}]'), INFER),
        post(json(b"[1]", after=b',"extra":1'), INFER),
        post(json(b"[1]").replace(b'"x"', b'"y"'), INFER),
        post(json(b"[1]").replace(b"INT64", b"INT32"), INFER),
        post(json(b"[1]"), b"/v2/models/m/versions/1/infer"),
        post(json(b"[1]"), INFER, [*JSON, (JSON_LENGTH, b"%d" % len(json(b"[1]")))]),
    ],
)
def test_what_differs_in_more_than_its_rows_is_kept_apart(other: Request) -> None:
    assert FORMAT.member(other).key != FORMAT.member(post(json(b"[1]"), INFER)).key


def test_the_order_of_inputs_counts_since_models_may_go_by_it() -> None:
    x, y = ({"name": name, "shape": [Number(1)], "datatype": "INT8", "data": [Number(1)]} for name in "xy")
    one, other = framed({"inputs": [x, y]}), framed({"inputs": [y, x]})
    assert FORMAT.member(one).key != FORMAT.member(other).key


BINARY = b'{"inputs":[{"name":"x","shape":[1],"datatype":"%b","parameters":{"binary_data_size":1}}]}'
SHARED = b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","parameters":{"shared_memory_region":"r"}}]}'
TO_SHARED = b',"outputs":[{"name":"y","parameters":{"shared_memory_region":"r"}}]'


@pytest.mark.parametrize(
    ("body", "length", "reason"),
    [
        (json(b"[1]", after=b',"parameters":{"sequence_id":7}'), None, "stateful"),
        (json(b"[1]", after=TO_SHARED), None, "shared_memory"),
        (SHARED, None, "shared_memory"),
        (json(b"1", b"[]"), None, "shape"),
        (b'{"inputs":[]}', None, "shape"),
        (
            b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]},'
            b'{"name":"y","shape":[2],"datatype":"INT8","data":[1,2]}]}',
            None,
            "shape",
        ),
        (json(b"[]", b"[0]"), None, "empty"),
        (json(b"[1]", b"[2]"), None, "data"),
        (json(b"1"), None, "data"),
        (json(b"[1]", b"[-1]"), None, "malformed"),
        (json(b'["\xff"]'), None, "malformed"),
        (b'{"inputs":{"x":[1]}}', None, "malformed"),
        (b'{"outputs":[]}', None, "malformed"),
        (b'{"inputs":[{"shape":[1],"datatype":"INT8"}]}', None, "raw"),
        (b"\1", b"0", "raw"),
        (BINARY % b"INT8" + b"\1", None, "malformed"),
        (BINARY % b"INT8" + b"\1", b"1", "malformed"),
        (BINARY % b"INT8" + b"\1", b"1000", "malformed"),
        (BINARY % b"INT8" + b"\1", b"-1", "malformed"),
        (BINARY % b"INT8" + b"\1", b"1" * 5000, "malformed"),
        (BINARY % b"INT8" + b"\1\2", b"%d" % len(BINARY % b"INT8"), "malformed"),
        (BINARY % b"INT8", b"%d" % len(BINARY % b"INT8"), "malformed"),
        (BINARY % b"INT16" + b"\1", b"%d" % len(BINARY % b"INT16"), "data"),
        (BINARY % b"BYTES" + b"\1", b"%d" % len(BINARY % b"BYTES"), "data"),
        (BINARY % b"FP8" + b"\1", b"%d" % len(BINARY % b"FP8"), "datatype"),
    ],
)
def test_what_is_not_merged(body: bytes, length: bytes | None, reason: str) -> None:
    request = post(body, INFER, [] if length is None else [(JSON_LENGTH, length)])
    with pytest.raises(Unmergeable) as caught:
        FORMAT.member(request)
    assert caught.value.reason == reason


def test_what_is_merged_for_comparison() -> None:
    json_tensor, binary = post(json(b"[1]"), INFER, []), BINARY % b"INT8"
    assert FORMAT.member(json_tensor).rows == 1
    assert FORMAT.member(post(binary + b"\1", INFER, [(JSON_LENGTH, b"%d" % len(binary))])).rows == 1


@pytest.mark.parametrize("target", [b"/v2/models/m/generate", b"/v2/models/m", b"/v2/models/m/ready?/infer"])
def test_other_verbs_do_not_work_row_by_row(target: bytes) -> None:
    with pytest.raises(Unmergeable) as caught:
        FORMAT.member(post(json(b"[1]"), target))
    assert caught.value.reason == "path"


@pytest.mark.parametrize(
    "outputs",
    [
        b"[]",
        b'[{"name":"y","shape":[1],"datatype":"INT8","data":[1]}]',
        b'[{"name":"y","shape":[2],"datatype":"INT8","data":[1]}]',
        b'[{"name":"y","shape":[2],"datatype":"INT8"}]',
        b'[{"name":"y","shape":[],"datatype":"INT8","data":[1]}]',
        b'[{"name":"y","shape":[2],"datatype":"FP8","parameters":{"binary_data_size":0}}]',
        b'[{"name":"y","shape":[2],"datatype":"INT8","data":[1,2]},{"name":"z","shape":[1],"datatype":"INT8","data":[1]}]',
        b'[{"name":"y","shape":[2],"datatype":"INT8","parameters":{"labels":["a","b"]},"data":[1,2]}]',
        b'[{"name":"y","shape":[2],"datatype":"INT8","data":[1,2],"labels":["a","b"]}]',
        b'[{"name":"y","shape":[2],"datatype":"INT8","data":[1,2]}],"parameters":{"labels":["a","b"]}',
        b'{"y":[1,2]}',
    ],
)
def test_answers_that_do_not_add_up(outputs: bytes) -> None:
    _, members = merged(FORMAT, *[post(json(b"[1]"), INFER)] * 2)
    with pytest.raises(Mismatch):
        FORMAT.split(Response(200, JSON, b'{"outputs":%b}' % outputs), members)
