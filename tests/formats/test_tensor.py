from __future__ import annotations

from struct import pack

import pytest
from msgspec import Raw

from gateway.formats.tensor import Tensor, cut, joined, parameters, tensors


def tensor(shape: str, data: str, datatype: str = "INT64", more: str = "") -> Tensor:
    json = f'[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}{more}}}]'
    (found,) = tensors(Raw(json.encode()), memoryview(b""))
    return found


def binary(shape: str, blob: bytes, datatype: str = "INT8", more: str = "") -> Tensor:
    said = f'{{"binary_data_size":{len(blob)}{more}}}'
    json = f'[{{"name":"x","shape":{shape},"datatype":"{datatype}","parameters":{said}}}]'
    (found,) = tensors(Raw(json.encode()), memoryview(blob))
    return found


def data(part: Tensor) -> tuple[list[int], bytes]:
    return part.shape, bytes(part.members["data"] if part.blob is None else part.blob)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ("[2]", "[1, 2]"),
        ("[1, 2]", "[1, 2]"),
        ("[1, 2]", "[[1, 2]]"),
        ("[2, 2, 1]", "[[[1],[2]],[[1e400],[4]]]"),
        ("[2, 1]", '["a[", ",]"]'),
        ("[2, 1]", '[["a["], [",]"]]'),
        ("[2, 0]", "[ ]"),
        ("[2, 0]", "[[], []]"),
        ("[0, 2]", "[]"),
    ],
)
def test_data_that_fit_the_shape(shape: str, text: str) -> None:
    tensor(shape, text).check()


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ("[2]", "[1]"),
        ("[2]", "[1, 2, 3]"),
        ("[2]", "[[1, 2]]"),
        ("[3]", "[1, [2, 3]]"),
        ("[2, 2]", "[1, 2, 3]"),
        ("[2, 2]", "[[1, 2], [3]]"),
        ("[2, 2]", "[[1, 2], [3, []]]"),
        ("[2, 2]", "[[1], [2], [3], [4]]"),
        ("[2, 2]", "[[1, 2, 3, 4]]"),
        ("[1, 2]", '["a,b"]'),
        ("[1, 2]", '[["a,b"]]'),
        ("[2, 0]", "[[]]"),
        ("[2, 0]", "[1]"),
        ("[1]", "[]"),
        ("[2]", "2"),
        ("[2]", '"12"'),
    ],
)
def test_data_that_do_not(shape: str, text: str) -> None:
    with pytest.raises(ValueError):
        tensor(shape, text).check()


def test_binary_data_fit_or_do_not() -> None:
    binary("[2, 2]", b"abcd").check()
    binary("[0]", b"").check()
    for shape in ("[2]", "[5]", "[4, 0]"):
        with pytest.raises(ValueError, match="are due"):
            binary(shape, b"abcd").check()


@pytest.mark.parametrize("shape", ["2", "[-1]", "[1.0]", "[true]", '["1"]', f"[{2**63}]", f"[{'1,' * 16}1]", "null"])
def test_what_is_no_shape(shape: str) -> None:
    with pytest.raises(ValueError):
        tensor(shape, "[1]")


@pytest.mark.parametrize("missing", ["shape", "datatype"])
def test_what_a_tensor_must_have(missing: str) -> None:
    json = '[{"name":"x","shape":[1],"datatype":"INT8","data":[1]}]'.replace(missing, "other")
    with pytest.raises(KeyError):
        tensors(Raw(json.encode()), memoryview(b""))


def test_binary_data_in_the_order_of_the_tensors() -> None:
    json = b"""[{"name":"a","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1}},
                {"name":"b","shape":[1],"datatype":"INT8","parameters":null,"data":[1]},
                {"name":"c","shape":[2],"datatype":"INT8","parameters":{"binary_data_size":2}}]"""
    found = tensors(Raw(json), memoryview(b"xyz"))
    assert [part.blob if part.blob is None else bytes(part.blob) for part in found] == [b"x", None, b"yz"]
    for wrong in (b"xy", b"xyz_"):
        with pytest.raises(ValueError):
            tensors(Raw(json), memoryview(wrong))


@pytest.mark.parametrize("size", ["-1", "1.0", '"1"', "null", "true"])
def test_what_is_no_size(size: str) -> None:
    json = f'[{{"name":"a","shape":[1],"datatype":"INT8","parameters":{{"binary_data_size":{size}}}}}]'
    with pytest.raises(ValueError):
        tensors(Raw(json.encode()), memoryview(b"x"))


def test_parameters_are_there_or_null_or_not() -> None:
    assert parameters({}) == parameters({"parameters": Raw(b"null")}) == parameters({"parameters": Raw(b"{}")}) == {}
    assert parameters({"parameters": Raw(b'{"a":1}')}) == {"a": Raw(b"1")}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (tensor("[1, 2]", "[1, 2]"), tensor("[2, 2]", "[3, 4, 5, 6]"), True),
        (tensor("[1, 2]", "[[1, 2]]"), tensor("[2, 2]", "[[3, 4], [5, 6]]"), True),
        (binary("[1]", b"a"), binary("[2]", b"ab"), True),
        (tensor("[1, 2]", "[1, 2]"), tensor("[1, 2]", "[[1, 2]]"), False),
        (tensor("[1, 2]", "[1, 2]"), tensor("[1, 2]", "[1, 2]", "INT32"), False),
        (tensor("[1, 2]", "[1, 2]"), tensor("[1, 2]", "[1, 2]", more=',"a":1'), False),
        (tensor("[1, 2]", "[1, 2]"), tensor("[1, 2]", "[1, 2]", more=',"parameters":{"a":1}'), False),
        (tensor("[1, 2]", "[1, 2]"), tensor("[1, 2, 1]", "[1, 2]"), False),
        (tensor("[1]", "[1]", "INT8"), binary("[1]", b"a"), False),
        (binary("[1]", b"a"), binary("[1]", b"a", more=',"a":1'), False),
    ],
)
def test_what_rows_must_have_in_common(one: Tensor, other: Tensor, same: bool) -> None:
    assert (one.key == other.key) == same
    assert hash(one.key) == hash(one.key)


@pytest.mark.parametrize(
    ("parts", "shape", "text"),
    [
        ([tensor("[1,2]", "[1 , 2]"), tensor("[2,2]", "[1e400,4,5,6]")], [3, 2], b"[1 , 2,1e400,4,5,6]"),
        ([tensor("[1,2]", "[[1,2]]"), tensor("[1,2]", "[[3,4]]")], [2, 2], b"[[1,2],[3,4]]"),
        ([tensor("[1,0]", "[ ]"), tensor("[2,0]", "[]")], [3, 0], b"[]"),
        ([tensor("[1,0]", "[[]]"), tensor("[2,0]", "[[],[]]")], [3, 0], b"[[],[],[]]"),
        ([binary("[1,2]", b"ab"), binary("[2,2]", b"cdef")], [3, 2], b"abcdef"),
        ([binary("[1,0]", b""), binary("[2,0]", b"")], [3, 0], b""),
    ],
)
def test_rows_are_joined_and_cut_again(parts: list[Tensor], shape: list[int], text: bytes) -> None:
    whole = joined(parts)
    assert data(whole) == (shape, text)
    assert bytes(whole.members["shape"]) == repr(shape).replace(" ", "").encode()
    again = cut(whole, [part.shape[0] for part in parts])
    assert [bytes(piece).replace(b" ", b"") for piece in again] == [data(part)[1].replace(b" ", b"") for part in parts]
    assert all(isinstance(piece, Raw) == (whole.blob is None) for piece in again)


def test_the_size_of_binary_data_is_said_anew_and_other_parameters_stay() -> None:
    whole = joined([binary("[1]", b"a", more=',"k":1e400'), binary("[2]", b"bc", more=',"k":1e400')])
    assert bytes(whole.members["parameters"]) == b'{"binary_data_size":3,"k":1e400}'
    assert bytes(whole.outlined(2)["parameters"]) == b'{"binary_data_size":\0,"k":1e400}'


def test_binary_strings_are_cut_between_strings() -> None:
    strings = [pack("<I", len(value)) + value for value in (b"", b"a\0", b"bcd", b"")]
    whole = binary("[2,2]", b"".join(strings), "BYTES")
    assert [bytes(piece) for piece in cut(whole, [1, 1])] == [strings[0] + strings[1], strings[2] + strings[3]]


def test_an_outline_is_all_but_the_data() -> None:
    members = tensor("[3,2]", "[[1,2],[3,4],[5,6]]", more=',"parameters":{"k":1e400}').outlined(7)
    assert {name: bytes(value) for name, value in members.items()} == {
        "name": b'"x"',
        "shape": b"[7,2]",
        "datatype": b'"INT64"',
        "data": b"\0",
        "parameters": b'{"k":1e400}',
    }


def test_data_in_two_forms_are_one_too_many() -> None:
    json = b'[{"name":"x","shape":[1],"datatype":"INT8","data":[1],"parameters":{"binary_data_size":1}}]'
    with pytest.raises(ValueError, match="twice"):
        tensors(Raw(json), memoryview(b"x"))


@pytest.mark.parametrize(
    "answer",
    [
        tensor("[2]", "[1, 2]"),
        tensor("[]", "[1]"),
        tensor("[3]", "[1, 2]"),
        tensor("[3, 2]", "[[1, 2], [3, 4], [5]]"),
        binary("[3]", b"ab"),
        binary("[1, 3]", b"abc"),
    ],
)
def test_what_is_not_as_many_rows_is_not_cut(answer: Tensor) -> None:
    with pytest.raises(ValueError):
        cut(answer, [1, 2])
