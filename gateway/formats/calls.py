"""Calls: requests of the v2 protocol, read. What stands around their data comes again and again, and is read only once.

The rule: it is known by its bytes. Before binary data that is all of the JSON; where a single input has its data in the
JSON, what is before and behind them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from . import blobs, text
from .format import Unmergeable
from .tensor import Tensor, parameters, tensors

_ROOM: Final = 64
"""Calls of which it is kept; when there are more, all are forgotten."""

_LONGEST: Final = 1024
"""Bytes of it that are worth keeping."""

_PER_REQUEST: Final = frozenset(("id", "inputs"))
_DATA: Final = b'"data"'
_NOTHING: Final = Raw(b"null")


class Call(msgspec.Struct, eq=False):
    """The body of one request."""

    top: text.Members
    inputs: list[Tensor]
    framed: bool
    """Whether it says where its JSON ends."""
    rows: int
    key: Hashable

    @property
    def id(self) -> Raw | None:
        """Its caller's own; null is none."""
        own = self.top.get("id")
        return None if own is None or text.kind(own) == "null" else own


class Calls:
    """Reads them, and remembers."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes | None], Call] = {}

    def read(self, body: bytes, end: int | None) -> Call:
        """``end``: of the JSON, if the request says so. Raises Unmergeable, ValueError or KeyError."""
        around, data = _divided(body, end)
        known = self._known.get(around)
        if known is not None and (inputs := _refilled(known, data)) is not None:
            return Call(known.top, inputs, known.framed, known.rows, known.key)
        call = _read(body, end)
        self._learn(around, call, data)
        return call

    def _learn(self, around: tuple[bytes, bytes | None], call: Call, data: memoryview) -> None:
        """Unless it is not worth it: most ids come but once."""
        if "id" in call.top or len(around[0]) + len(around[1] or b"") > _LONGEST:
            return
        if not call.framed and not _surely_between(around, call.inputs, data):
            return
        if len(self._known) >= _ROOM:
            self._known.clear()
        top = {name: _NOTHING if name == "inputs" else value.copy() for name, value in call.top.items()}
        inputs = [tensor.emptied(also_text=not call.framed) for tensor in call.inputs]
        self._known[around] = Call(top, inputs, call.framed, call.rows, call.key)


def _divided(body: bytes, end: int | None) -> tuple[tuple[bytes, bytes | None], memoryview]:
    """What is around the data, and the data."""
    if end is not None:
        return (body[:end], None), memoryview(body)[end:]
    begin = body.find(b"[", body.find(_DATA))
    behind = body.rfind(b"]", begin, body.find(b"}", begin)) + 1
    return (body[:begin], body[behind:]), memoryview(body)[begin:behind]


def _surely_between(around: tuple[bytes, bytes | None], inputs: Sequence[Tensor], data: memoryview) -> bool:
    """Whether nothing but the data of the only input can be meant, since nothing else is called so, in any spelling."""
    said = b" ".join(part or b"" for part in around)
    unique = said.count(_DATA) == 1 and b"\\" not in said
    return unique and len(inputs) == 1 and bytes(inputs[0].members["data"]) == data


def _refilled(known: Call, data: memoryview) -> list[Tensor] | None:
    """The inputs of ``known`` with these data; None if they are other than those were. Raises ValueError."""
    if known.framed:
        inputs, rest = [], data
        for tensor in known.inputs:
            inputs.append(tensor if tensor.blob is None else tensor.refilled(rest[: tensor.size]))
            rest = rest[tensor.size :]
        if sum(tensor.size for tensor in known.inputs) != len(data):
            return None
    else:
        plain = bytes(data)
        if not text.is_value(plain) or text.nested(plain) != known.inputs[0].nested:
            return None
        inputs = [known.inputs[0].refilled(Raw(plain))]
    for tensor in inputs:
        _check_data(tensor)
    return inputs


def _read(body: bytes, end: int | None) -> Call:
    top, tail = unframed(body, end)
    _check_call(top)
    inputs = tensors(top["inputs"], tail)
    return Call(top, inputs, end is not None, _rows(inputs), _key(top, inputs, end is not None))


def unframed(body: bytes, end: int | None) -> tuple[text.Members, memoryview]:
    """The JSON, and the binary data behind it."""
    return text.members(text.utf8(body[:end])), memoryview(body)[len(body) if end is None else end :]


def _check_call(top: text.Members) -> None:
    """Raise Unmergeable for what is bound to one instance of the model, or to memory of the server."""
    if any(name.startswith("sequence_") for name in parameters(top)):
        raise Unmergeable("stateful")
    outputs = top.get("outputs")
    if outputs is not None and b"shared_memory" in bytes(outputs):
        raise Unmergeable("shared_memory")


def _rows(inputs: Sequence[Tensor]) -> int:
    """How many the inputs have. Raises Unmergeable."""
    for tensor in inputs:
        _check_input(tensor)
    if not inputs or len({tensor.shape[0] for tensor in inputs}) != 1:
        raise Unmergeable("shape")
    if not inputs[0].shape[0]:
        raise Unmergeable("empty")
    return inputs[0].shape[0]


def _check_input(tensor: Tensor) -> None:
    if any(name.startswith("shared_memory") for name in tensor.parameters):
        raise Unmergeable("shared_memory")
    if not tensor.shape:
        raise Unmergeable("shape")
    if tensor.blob is None and "data" not in tensor.members:
        raise Unmergeable("raw")
    if tensor.blob is not None and not blobs.known(tensor.datatype):
        raise Unmergeable("datatype")
    _check_data(tensor)


def _check_data(tensor: Tensor) -> None:
    try:
        tensor.check()
    except ValueError:
        raise Unmergeable("data") from None


def _key(top: text.Members, inputs: Sequence[Tensor], framed: bool) -> Hashable:
    rest = frozenset((name, text.compared(value)) for name, value in top.items() if name not in _PER_REQUEST)
    return framed, rest, tuple(tensor.key for tensor in inputs)
