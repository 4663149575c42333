from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.models import BadInput
from gateway.demo.tensors import INTEGERS, measurements

rows = st.lists(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), min_size=1, max_size=8)


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "any", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]} | changes


@given(rows)
def test_flat_and_nested_data_are_the_same_rows(rows: list[list[float]]) -> None:
    flat = [value for row in rows for value in row]
    shape = [len(rows), 4]
    assert measurements([tensor(shape=shape, data=rows)]) == rows
    assert measurements([tensor(shape=shape, data=flat)]) == rows


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_stay_within_their_type(datatype: str) -> None:
    least, greatest = INTEGERS[datatype]
    assert measurements([tensor(datatype=datatype, data=[least, greatest, 0, 1])])
    for wrong in (least - 1, greatest + 1, 0.5):
        with pytest.raises(BadInput, match=datatype):
            measurements([tensor(datatype=datatype, data=[wrong, 0, 0, 0])])


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        (None, "list of one tensor"),
        ([], "list of one tensor"),
        ([tensor(), tensor()], "list of one tensor"),
        (["tensor"], "list of one tensor"),
        *(([{k: v for k, v in tensor().items() if k != gone}], f"no {gone}") for gone in tensor()),
        ([tensor(shape="1x4")], "shape is not"),
        ([tensor(shape=[1, 4.0])], "shape is not"),
        ([tensor(shape=[True, 4])], "shape is not"),
        ([tensor(shape=[4])], "does not match"),
        ([tensor(shape=[1, 3], data=[1, 2, 3])], "does not match"),
        ([tensor(shape=[0, 4], data=[])], "does not match"),
        ([tensor(shape=[-1, 4])], "does not match"),
        ([tensor(data=4)], "data is not a list"),
        ([tensor(data=[1, 2, 3])], "does not fill"),
        ([tensor(shape=[2, 4])], "does not fill"),
        ([tensor(shape=[2, 4], data=[[1, 2, 3, 4]])], "does not fill"),
        ([tensor(data=[[1, 2, 3]])], "row 0 has 3 features"),
        ([tensor(data=[[[1], 2, 3, 4]])], "not a float32 number"),
        ([tensor(data=["a", 2, 3, 4])], "not a float32 number"),
        ([tensor(datatype="BYTES")], "datatype 'BYTES'"),
        ([tensor(datatype=["FP64"])], "datatype"),
    ],
)
def test_every_doubt_is_bad_input(inputs: object, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        measurements(inputs)
