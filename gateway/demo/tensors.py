"""JSON tensors of the Open Inference Protocol to rows of numbers; every doubt is a BadInput."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

from .models import FEATURES, BadInput, Rows, check_rows

INTEGERS: Final = {
    **{f"INT{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
}
"""The least and the greatest number of each integer datatype."""

FLOATS: Final = ("FP16", "FP32", "FP64")


def measurements(inputs: object) -> Rows:
    """The rows of the one input tensor, whatever its name, as KServe's scikit-learn server takes it."""
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadInput("inputs is not a list of one tensor")
    tensor = inputs[0]
    for member in ("name", "shape", "datatype", "data"):
        if member not in tensor:
            raise BadInput(f"the tensor has no {member}")
    rows = check_rows(_nested(tensor["data"], _count(tensor["shape"])))
    _check_datatype(tensor["datatype"], rows)
    return rows


def _count(shape: Any) -> int:
    """How many rows a tensor of ``shape`` has."""
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise BadInput("shape is not a list of whole numbers")
    if len(shape) != 2 or shape[0] < 1 or shape[1] != len(FEATURES):
        raise BadInput(f"shape {shape} does not match the model's [-1, {len(FEATURES)}]")
    count: int = shape[0]
    return count


def _nested(data: Any, count: int) -> list[Any]:
    """``data`` as ``count`` rows; it may come flat in row-major order, or nested already."""
    if not isinstance(data, list):
        raise BadInput("data is not a list")
    width = len(FEATURES)
    nested = bool(data) and isinstance(data[0], list)
    if len(data) != (count if nested else count * width):
        raise BadInput(f"data does not fill the shape [{count}, {width}]")
    return data if nested else [data[i : i + width] for i in range(0, len(data), width)]


def _check_datatype(datatype: object, rows: Rows) -> None:
    if datatype in FLOATS:
        return
    if not isinstance(datatype, str) or datatype not in INTEGERS:
        raise BadInput(f"datatype {datatype!r} is not one the model takes: {', '.join((*FLOATS, *INTEGERS))}")
    least, greatest = INTEGERS[datatype]
    if not all(isinstance(value, int) and least <= value <= greatest for value in chain.from_iterable(rows)):
        raise BadInput(f"data holds a value that is not {datatype}")
