"""One tensor of the v2 protocol, its data as JSON, flat or nested, or binary.

The rule: data are joined and cut only if they are exactly as many elements as the shape says. One too few, and every
row behind it would be another caller's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw

from . import blobs, text
from .template import GAP

_MAX_RANK: Final = 16

_Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_objects = msgspec.json.Decoder(list[text.Members]).decode
_members = msgspec.json.Decoder(text.Members | None).decode
_shape = msgspec.json.Decoder(Annotated[list[_Natural], Meta(max_length=_MAX_RANK)]).decode
_size = msgspec.json.Decoder(_Natural).decode
_string = msgspec.json.Decoder(str).decode

_BINARY_SIZE: Final = "binary_data_size"
_OF_ROWS: Final = frozenset(("shape", "data", "parameters"))
_NOTHING: Final = Raw(b"null")


class Tensor(msgspec.Struct, eq=False):
    """A tensor as it came, or as it is sent."""

    members: text.Members
    parameters: text.Members
    datatype: str
    shape: list[int]
    blob: memoryview | bytes | None = None
    """Its data, where they are binary; else they are in ``members``."""
    nested: bool = False
    """Whether its data are arrays of arrays, as the shape is; else they are all in one."""
    size: int = 0
    """Bytes of binary data that it came with."""

    @property
    def stride(self) -> int:
        """Elements in a row."""
        return prod(self.shape[1:])

    @property
    def beside(self) -> text.Members:
        """What is said of it besides its rows."""
        return {name: value for name, value in self.members.items() if name not in ("shape", "data")}

    @property
    def key(self) -> Hashable:
        """What tensors have in common whose rows can stand in one."""
        fixed = frozenset((name, text.compared(value)) for name, value in self.members.items() if name not in _OF_ROWS)
        said = frozenset(
            (name, text.compared(value)) for name, value in self.parameters.items() if name != _BINARY_SIZE
        )
        return tuple(self.shape[1:]), self.blob is None, self.nested, fixed, said

    def check(self) -> None:
        """Raise ValueError unless the data are as many elements as the shape says."""
        count = prod(self.shape)
        if self.blob is not None:
            blobs.cut(self.datatype, memoryview(self.blob), (count,))
            return
        data = self.members["data"]
        if text.kind(data) != "array":
            raise ValueError("the data are not an array")
        outer, leaves = text.counts(data, _MAX_RANK)
        if leaves != count or outer != (self.shape[0] if self.nested else count):
            raise ValueError(f"{leaves} elements where {count} are due")

    def with_rows(self, rows: int, data: Raw | bytes | memoryview) -> Tensor:
        """The same tensor with other rows: ``data`` is JSON text if it is Raw, else binary."""
        shape = [rows, *self.shape[1:]]
        if isinstance(data, Raw):
            return Tensor(self._members(shape, data), self.parameters, self.datatype, shape, None, self.nested)
        members = self._members(shape, Raw(b"%d" % len(data)))
        return Tensor(members, self.parameters, self.datatype, shape, data)

    def emptied(self, also_text: bool) -> Tensor:
        """The same without its binary data, ``also_text``: without those in JSON, and without what it was read from."""
        members = {
            name: _NOTHING if also_text and name == "data" else value.copy() for name, value in self.members.items()
        }
        said = {name: value.copy() for name, value in self.parameters.items()}
        blob = None if self.blob is None else b""
        return Tensor(members, said, self.datatype, self.shape, blob, self.nested, self.size)

    def refilled(self, data: Raw | memoryview) -> Tensor:
        """The same with other data of the same kind."""
        if isinstance(data, Raw):
            members = {**self.members, "data": data}
            return Tensor(members, self.parameters, self.datatype, self.shape, None, self.nested)
        return Tensor(self.members, self.parameters, self.datatype, self.shape, data)

    def outlined(self, rows: int) -> text.Members:
        """What it says with other rows, and with a gap for the data, or for their size where they are binary."""
        return self._members([rows, *self.shape[1:]], GAP)

    def _members(self, shape: list[int], data: Raw) -> text.Members:
        members = {**self.members, "shape": Raw(text.encode(shape))}
        if self.blob is None:
            members["data"] = data
        else:
            members["parameters"] = Raw(text.encode({**self.parameters, _BINARY_SIZE: data}))
        return members


def tensors(array: Raw, tail: memoryview) -> list[Tensor]:
    """The tensors of a message, with ``tail`` for their binary data. Raises ValueError, KeyError."""
    found: list[Tensor] = []
    for members in _objects(array):
        tensor = Tensor(members, parameters(members), _string(members["datatype"]), _shape(members["shape"]))
        size = tensor.parameters.get(_BINARY_SIZE)
        if size is not None:
            if "data" in members:
                raise ValueError("the data are there twice")
            tensor.size = _size(size)
            tensor.blob = tail[: tensor.size]
            if len(tensor.blob) != tensor.size:
                raise ValueError("the binary data end too early")
            tail = tail[tensor.size :]
        elif "data" in members:
            tensor.nested = text.nested(members["data"])
        found.append(tensor)
    if tail:
        raise ValueError(f"{len(tail)} bytes of binary data belong to no tensor")
    return found


def parameters(members: text.Members) -> text.Members:
    """The ``parameters`` of a message or of a tensor, which may be null or absent."""
    written = members.get("parameters")
    return (written and _members(written)) or {}


def joined(parts: Sequence[Tensor]) -> Tensor:
    """One tensor with the rows of all, whose keys are equal."""
    first, rows = parts[0], sum(part.shape[0] for part in parts)
    if first.blob is not None:
        return first.with_rows(rows, b"".join(part.blob or b"" for part in parts))
    if not first.stride and not first.nested:
        return first.with_rows(rows, Raw(b"[]"))
    return first.with_rows(rows, text.array(text.run(part.members["data"]) for part in parts))


def cut(tensor: Tensor, counts: Sequence[int]) -> Sequence[Raw | memoryview]:
    """The data of so many rows each, JSON text if they are Raw. Raises ValueError unless they are all of its rows."""
    if not tensor.shape or tensor.shape[0] != sum(counts):
        raise ValueError(f"shape {tensor.shape} came back for {sum(counts)} rows")
    return _binary(tensor, counts) if tensor.blob is not None else _json(tensor, counts)


def _binary(tensor: Tensor, counts: Sequence[int]) -> Sequence[memoryview]:
    stride = tensor.stride
    return blobs.cut(tensor.datatype, memoryview(tensor.blob or b""), [count * stride for count in counts])


def _json(tensor: Tensor, counts: Sequence[int]) -> Sequence[Raw]:
    tensor.check()
    elements, end = text.elements(tensor.members["data"]), 0
    each = 1 if tensor.nested else tensor.stride
    pieces = []
    for count in counts:
        start, end = end, end + count * each
        pieces.append(text.array(elements[start:end]))
    return pieces
