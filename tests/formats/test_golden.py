"""Bodies that other batchers get wrong, with the one call that they become and what every caller gets of its answer.

Everything is written out, byte for byte: whoever changes a byte of it must say why.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from gateway.formats.format import Format, Mismatch, Unmergeable
from gateway.formats.v1 import V1
from gateway.formats.v2 import V2
from gateway.message import Headers, Response
from tests.formats.cases import JSON, merged, post
from tests.formats.servers import JSON_LENGTH

ROWS: Format = V1()
TENSORS: Format = V2(lambda: b"batch-1")
PREDICT, INFER = b"/v1/models/m:predict", b"/v2/models/m/infer"
OCTETS: Headers = [(b"content-type", b"application/octet-stream")]


class Message(NamedTuple):
    """A body; with ``blob``, one that says where its JSON ends."""

    json: bytes
    blob: bytes | None = None

    @property
    def body(self) -> bytes:
        return self.json + (self.blob or b"")

    @property
    def headers(self) -> Headers:
        return JSON if self.blob is None else [*OCTETS, (JSON_LENGTH, b"%d" % len(self.json))]


class Golden(NamedTuple):
    """Requests that share a call."""

    format: Format
    requests: tuple[Message, ...]
    call: Message
    answer: Message
    shares: tuple[Message, ...]


def v1(*bodies: bytes) -> tuple[Message, ...]:
    return tuple(map(Message, bodies))


def tensor(rows: int, data: bytes, more: bytes = b"", datatype: bytes = b"FP64", name: bytes = b"x") -> bytes:
    return b'{"name":"%b","shape":[%d%b],"datatype":"%b","data":%b}' % (name, rows, more, datatype, data)


def binary(rows: int, size: int, more: bytes = b"", datatype: bytes = b"BYTES", name: bytes = b"x") -> bytes:
    said = b'"parameters":{"binary_data_size":%d}' % size
    return b'{"name":"%b","shape":[%d%b],"datatype":"%b",%b}' % (name, rows, more, datatype, said)


def inputs(*tensors: bytes, id: bytes = b"") -> bytes:
    return b'{%b"inputs":[%b]}' % (id, b",".join(tensors))


def outputs(*tensors: bytes, id: bytes = b"") -> bytes:
    return b'{"model_name":"m",%b"outputs":[%b]}' % (id, b",".join(tensors))


BATCH = b'"id":"batch-1",'

GOLDEN = {
    "v1 rows keep integers beyond 2^53, what no double holds, and long decimals": Golden(
        ROWS,
        v1(b'{"instances":[[9007199254740993,1e400]]}', b'{"instances":[[0.10000000000000000555,-0],[1E+2,1.0]]}'),
        Message(b'{"instances":[[9007199254740993,1e400],[0.10000000000000000555,-0],[1E+2,1.0]]}'),
        Message(b'{"predictions":[1e400,9007199254740993,12345678901234567890123]}'),
        v1(b'{"predictions":[1e400]}', b'{"predictions":[9007199254740993,12345678901234567890123]}'),
    ),
    "v1 columns keep them": Golden(
        ROWS,
        v1(b'{"inputs":{"a":[9007199254740993],"b":[[1e400]]}}', b'{"inputs":{"a":[1.10],"b":[[-0.0]]}}'),
        Message(b'{"inputs":{"a":[9007199254740993,1.10],"b":[[1e400],[-0.0]]}}'),
        Message(b'{"outputs":{"y":[1e400,0.30],"z":[[1],[9007199254740993]]}}'),
        v1(b'{"outputs":{"y":[1e400],"z":[[1]]}}', b'{"outputs":{"y":[0.30],"z":[[9007199254740993]]}}'),
    ),
    "v2 flat data keep them": Golden(
        TENSORS,
        v1(inputs(tensor(1, b"[9007199254740993,1e400]", b",2")), inputs(tensor(1, b"[0.10,1E+2]", b",2"))),
        Message(inputs(tensor(2, b"[9007199254740993,1e400,0.10,1E+2]", b",2"))[:-1] + b',"id":"batch-1"}'),
        Message(outputs(tensor(2, b"[1e400,9007199254740993,-0,0.30]", b",2"), id=BATCH)),
        v1(
            outputs(tensor(1, b"[1e400,9007199254740993]", b",2")),
            outputs(tensor(1, b"[-0,0.30]", b",2")),
        ),
    ),
    "v2 nested data keep them": Golden(
        TENSORS,
        v1(inputs(tensor(1, b"[[9007199254740993]]", b",1")), inputs(tensor(1, b"[[1e400]]", b",1"))),
        Message(inputs(tensor(2, b"[[9007199254740993],[1e400]]", b",1"))[:-1] + b',"id":"batch-1"}'),
        Message(outputs(tensor(2, b"[[1e400],[0.10000000000000000555]]", b",1"), id=BATCH)),
        v1(outputs(tensor(1, b"[[1e400]]", b",1")), outputs(tensor(1, b"[[0.10000000000000000555]]", b",1"))),
    ),
    "strings in JSON may be empty, and hold NUL, brackets and commas": Golden(
        TENSORS,
        v1(
            inputs(tensor(2, rb'["","\u0000"]', datatype=b"BYTES")),
            inputs(tensor(1, b'["],["]', datatype=b"BYTES")),
        ),
        Message(inputs(tensor(3, rb'["","\u0000","],["]', datatype=b"BYTES"))[:-1] + b',"id":"batch-1"}'),
        Message(outputs(tensor(3, rb'["","],[","\u0000"]', datatype=b"BYTES"), id=BATCH)),
        v1(
            outputs(tensor(2, b'["","],["]', datatype=b"BYTES")),
            outputs(tensor(1, rb'["\u0000"]', datatype=b"BYTES")),
        ),
    ),
    "binary strings may be empty and hold NUL": Golden(
        TENSORS,
        (
            Message(inputs(binary(1, 4)), b"\0\0\0\0"),
            Message(inputs(binary(2, 11)), b"\3\0\0\0a\0b\0\0\0\0"),
        ),
        Message(inputs(binary(3, 15))[:-1] + b',"id":"batch-1"}', b"\0\0\0\0\3\0\0\0a\0b\0\0\0\0"),
        Message(outputs(binary(3, 14), id=BATCH), b"\2\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        (
            Message(outputs(binary(1, 6)), b"\2\0\0\0\0\0"),
            Message(outputs(binary(2, 8)), b"\0\0\0\0\0\0\0\0"),
        ),
    ),
    "a binary output of no bytes comes as JSON, as Triton has it": Golden(
        TENSORS,
        v1(inputs(tensor(1, b"[1]")), inputs(tensor(2, b"[2,3]"))),
        Message(inputs(tensor(3, b"[1,2,3]"))[:-1] + b',"id":"batch-1"}'),
        Message(outputs(binary(3, 0, b",0", b"FP32"), id=BATCH)),
        v1(outputs(binary(1, 0, b",0", b"FP32")), outputs(binary(2, 0, b",0", b"FP32"))),
    ),
    "and framed beside one that has some": Golden(
        TENSORS,
        v1(inputs(tensor(1, b"[1]")), inputs(tensor(2, b"[2,3]"))),
        Message(inputs(tensor(3, b"[1,2,3]"))[:-1] + b',"id":"batch-1"}'),
        Message(outputs(binary(3, 0, b",0"), binary(3, 6, b"", b"INT16", b"y"), id=BATCH), b"aabbcc"),
        (
            Message(outputs(binary(1, 0, b",0"), binary(1, 2, b"", b"INT16", b"y")), b"aa"),
            Message(outputs(binary(2, 0, b",0"), binary(2, 4, b"", b"INT16", b"y")), b"bbcc"),
        ),
    ),
    "an empty binary input is still a binary one": Golden(
        TENSORS,
        (Message(inputs(binary(1, 0, b",0", b"INT8")), b""), Message(inputs(binary(2, 0, b",0", b"INT8")), b"")),
        Message(inputs(binary(3, 0, b",0", b"INT8"))[:-1] + b',"id":"batch-1"}', b""),
        Message(outputs(tensor(3, b"[1,2,3]"), id=BATCH)),
        v1(outputs(tensor(1, b"[1]")), outputs(tensor(2, b"[2,3]"))),
    ),
    "two with the same id, one without and one with null get back what they sent": Golden(
        TENSORS,
        v1(
            *[inputs(tensor(1, b"[1]"), id=b'"id":"a",')] * 2,
            inputs(tensor(1, b"[1]")),
            inputs(tensor(1, b"[1]"), id=b'"id":null,'),
        ),
        Message(inputs(tensor(4, b"[1,1,1,1]"), id=BATCH)),
        Message(outputs(tensor(4, b"[5,6,7,8]"), id=BATCH)),
        v1(
            outputs(tensor(1, b"[5]"), id=b'"id":"a",'),
            outputs(tensor(1, b"[6]"), id=b'"id":"a",'),
            outputs(tensor(1, b"[7]")),
            outputs(tensor(1, b"[8]")),
        ),
    ),
    "KServe answers columns with predictions": Golden(
        ROWS,
        v1(b'{"inputs":[[1,2]]}', b'{"inputs":[[3,4],[5,6]]}'),
        Message(b'{"inputs":[[1,2],[3,4],[5,6]]}'),
        Message(b'{"predictions":[7,8,9]}'),
        v1(b'{"predictions":[7]}', b'{"predictions":[8,9]}'),
    ),
}


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_golden(golden: Golden) -> None:
    target = PREDICT if golden.format is ROWS else INFER
    requests = [post(message.body, target, message.headers) for message in golden.requests]
    call, members = merged(golden.format, *requests)
    assert (call.body, call.headers) == (golden.call.body, golden.call.headers)
    shares = golden.format.split(Response(200, golden.answer.headers, golden.answer.body), members)
    assert [(share.body, share.headers) for share in shares] == [(one.body, one.headers) for one in golden.shares]


FRAMED = Message(inputs(binary(1, 3, b"", b"INT16")), b"abc")

NEVER_MERGED = {
    "short data": (Message(inputs(tensor(2, b"[1,2,3]", b",2"))), "data"),
    "long data": (Message(inputs(tensor(2, b"[1,2,3,4,5]", b",2"))), "data"),
    "short nested data": (Message(inputs(tensor(2, b"[[1,2],[3]]", b",2"))), "data"),
    "half an element of binary data": (FRAMED, "data"),
    "a string cut short": (Message(inputs(binary(1, 6)), b"\3\0\0\0ab"), "data"),
    "a string too many": (Message(inputs(binary(1, 8)), b"\0\0\0\0\0\0\0\0"), "data"),
    "bytes left over": (FRAMED._replace(blob=b"abcd"), "malformed"),
    "data as JSON and binary at once": (
        Message(inputs(binary(1, 1, b"", b"INT8")[:-1] + b',"data":[1]}'), b"a"),
        "malformed",
    ),
    "inputs of unequal lengths": (Message(inputs(tensor(1, b"[1]"), tensor(2, b"[1,2]", name=b"y"))), "shape"),
    "the specification's own example": (
        Message(inputs(tensor(3, b"[1,2,3]"), tensor(2, b"[1,2,3,4]", b",2", name=b"y"))),
        "shape",
    ),
}


@pytest.mark.parametrize(("message", "reason"), NEVER_MERGED.values(), ids=NEVER_MERGED)
def test_never_merged(message: Message, reason: str) -> None:
    with pytest.raises(Unmergeable) as caught:
        TENSORS.member(post(message.body, INFER, message.headers))
    assert caught.value.reason == reason


PREDICTIONS = Message(b'{"instances":[1]}')
INPUTS = Message(b'{"inputs":[1]}')
TENSOR = Message(inputs(tensor(1, b"[1]")))

NEVER_CUT = {
    "predictions are an object": (PREDICTIONS, Message(b'{"predictions":{"a":[1,2],"b":[3,4]}}')),
    "predictions are a text": (PREDICTIONS, Message(b'{"predictions":"ab"}')),
    "predictions are too few": (PREDICTIONS, Message(b'{"predictions":[1]}')),
    "predictions are too many": (PREDICTIONS, Message(b'{"predictions":[1,2,3]}')),
    "one prediction for all": (PREDICTIONS, Message(b'{"predictions":[[1,2]]}')),
    "the agent's answer to a failure": (PREDICTIONS, Message(b'{"message":"failed","predictions":null}')),
    "an object of predictions for columns": (INPUTS, Message(b'{"predictions":{"a":[1,2],"b":[3]}}')),
    "an output that is no list": (INPUTS, Message(b'{"outputs":{"a":[1,2],"b":3}}')),
    "a first dimension that is not the rows": (TENSOR, Message(outputs(tensor(1, b"[1]"), id=BATCH))),
    "one of two outputs so": (TENSOR, Message(outputs(tensor(2, b"[1,2]"), tensor(1, b"[1]", name=b"y")))),
    "as many rows as were sent but fewer data": (TENSOR, Message(outputs(tensor(2, b"[1,2,3]", b",2")))),
    "MLServer's rows without data": (TENSOR, Message(outputs(tensor(2, b"[]", b",2")))),
    "binary data short of a byte": (TENSOR, Message(outputs(binary(2, 3, b"", b"INT16")), b"abc")),
    "data as JSON and binary at once": (
        TENSOR,
        Message(outputs(binary(2, 2, b"", b"INT8")[:-1] + b',"data":[1,2]}'), b"ab"),
    ),
    "a string that ends too early": (TENSOR, Message(outputs(binary(2, 9)), b"\0\0\0\0\2\0\0\0a")),
}


@pytest.mark.parametrize(("request_", "answer"), NEVER_CUT.values(), ids=NEVER_CUT)
def test_never_cut(request_: Message, answer: Message) -> None:
    format, target = (TENSORS, INFER) if request_ is TENSOR else (ROWS, PREDICT)
    _, members = merged(format, *[post(request_.body, target, request_.headers)] * 2)
    with pytest.raises(Mismatch):
        format.split(Response(200, answer.headers, answer.body), members)
