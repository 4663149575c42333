"""Random requests: those of one Kind may share a call."""

from __future__ import annotations

import json
import struct
from math import isfinite, prod
from random import Random
from typing import Any, NamedTuple

from .signatures import MODELS, output

CODES = {"BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d"}
CODES |= {f"U{datatype}": code.upper() for datatype, code in CODES.items() if datatype.startswith("INT")}
"""How ``struct`` writes an element."""

WORDS = ("", "a", "é", "\0", '"]', "\\", "日本", "a longer text, with a comma")


class Asked(NamedTuple):
    """A POST."""

    target: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)

    @property
    def named(self) -> bool:
        """Whether it has an id, which the answer is to repeat."""
        return b'"id"' in self.body


class Kind(NamedTuple):
    """What requests have in common that may share a call."""

    model: str
    shapes: dict[str, tuple[int, ...]]
    """Of a row of each input."""
    binary: bool
    nested: bool
    rest: dict[str, Any]
    """What else the body says: parameters and the outputs that are wanted."""
    finite: bool
    """Whether numbers have to be such as JSON can write."""


def kind(random: Random, model: str, *, binary: bool) -> Kind:
    """``binary``: its tensors are, and its outputs all, some or none of them."""
    shapes = {name: tuple(random.choices((1, 2, 3), k=dims)) for name, (_, dims) in MODELS[model].items()}
    outputs = [{"name": output(name)} for name in shapes]
    if not binary:
        rest = random.choice(({}, {"outputs": outputs}, {"parameters": {"audience": random.choice("ab")}}))
        return Kind(model, shapes, False, random.random() < 0.5, rest, True)
    if model == "half" or random.random() < 0.5:  # there is no FP16 in JSON
        return Kind(model, shapes, True, False, {"parameters": {"binary_data_output": True}}, False)
    said = [{**wanted, "parameters": {"binary_data": random.random() < 0.5}} for wanted in outputs]
    return Kind(model, shapes, True, False, {"outputs": said}, True)


def infer(random: Random, kind: Kind, *values: float) -> Asked:
    """A request with one to four rows; ``values``, if any, are the elements of its only input."""
    rows = random.randint(1, 4) if not values else len(values) // prod(*kind.shapes.values())
    tensors = []
    for name, shape in kind.shapes.items():
        datatype = MODELS[kind.model][name][0]
        count = rows * prod(shape)
        data = list(values) or [element(random, datatype, kind.finite) for _ in range(count)]
        tensors.append(({"name": name, "datatype": datatype, "shape": [rows, *shape]}, data))
    top = {"id": random.choice("abc")} if random.random() < 0.5 else {}
    return (_framed if kind.binary else _written)(kind, {**top, **kind.rest}, tensors)


def element(random: Random, datatype: str, finite: bool) -> Any:
    """Any value of that type, the extreme ones more often than others."""
    if datatype == "BYTES":
        return random.choice(WORDS)
    if datatype == "BOOL":
        return random.random() < 0.5
    size = struct.calcsize(CODES[datatype])
    greatest, least = b"\xff" * (size - 1) + b"\x7f", b"\0" * (size - 1) + b"\x80"
    bits = random.choice((greatest, least, b"\xff" * size, bytes(size), random.randbytes(size), random.randbytes(size)))
    (value,) = struct.unpack(f"<{CODES[datatype]}", bits)
    return value if not finite or isfinite(value) else 0.5


Tensors = list[tuple[dict[str, Any], list[Any]]]


def _written(kind: Kind, top: dict[str, Any], tensors: Tensors) -> Asked:
    inputs = [{**said, "data": _folded(data, said["shape"]) if kind.nested else data} for said, data in tensors]
    return Asked(f"/v2/models/{kind.model}/infer", json.dumps({**top, "inputs": inputs}).encode())


def _framed(kind: Kind, top: dict[str, Any], tensors: Tensors) -> Asked:
    blobs = [_blob(said["datatype"], data) for said, data in tensors]
    sizes = [
        {**said, "parameters": {"binary_data_size": len(blob)}} for (said, _), blob in zip(tensors, blobs, strict=True)
    ]
    return framed(kind.model, {**top, "inputs": sizes}, b"".join(blobs))


def framed(model: str, document: dict[str, Any], tail: bytes) -> Asked:
    """A request with binary data behind its JSON."""
    head = json.dumps(document).encode()
    said = (("content-type", "application/octet-stream"), ("inference-header-content-length", str(len(head))))
    return Asked(f"/v2/models/{model}/infer", head + tail, said)


def _blob(datatype: str, data: list[Any]) -> bytes:
    if datatype != "BYTES":
        return struct.pack(f"<{len(data)}{CODES[datatype]}", *data)
    return b"".join(struct.pack("<I", len(text)) + text for text in map(str.encode, data))


def _folded(values: list[Any], shape: list[int]) -> list[Any]:
    """The values as arrays in arrays."""
    for length in reversed(shape[1:]):
        values = [values[start : start + length] for start in range(0, len(values), length)]
    return values


def predict(random: Random, model: str, row: Any) -> Asked:
    """v1: some rows like ``row``, numbers in it replaced."""
    rows = [_like(random, row) for _ in range(random.randint(1, 4))]
    return Asked(f"/v1/models/{model}:predict", json.dumps({"instances": rows}).encode())


def _like(random: Random, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _like(random, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_like(random, inner) for inner in value]
    return random.choice(WORDS) if isinstance(value, str) else element(random, "INT64", True)
