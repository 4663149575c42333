"""The v2 protocol (Open Inference Protocol), REST, with tensors as JSON or binary.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from gateway.layers.recover import RequestIds
from gateway.message import Headers, Request, Response, header

from . import blobs, text
from .format import Member, Mismatch, Unmergeable
from .frames import Frames
from .path import check_others
from .spliced import JSON_LENGTH, Body, Spliced
from .tensor import Tensor, cut, joined, parameters, tensors

_PER_REQUEST: Final = frozenset(("id", "inputs"))


class Call(msgspec.Struct, eq=False):
    """The body of one request."""

    top: text.Members
    inputs: list[Tensor]
    framed: bool
    """Whether it says where its JSON ends."""

    @property
    def id(self) -> Raw | None:
        """Its caller's own; null is none."""
        own = self.top.get("id")
        return None if own is None or text.kind(own) == "null" else own


class V2(Spliced):
    """``POST /v2/models/NAME/infer``. ``new_id`` makes the ids of merged calls; the callers get their own back."""

    def __init__(self, new_id: Callable[[], bytes] | None = None) -> None:
        self._new_id = new_id or RequestIds()

    def _read(self, request: Request, body: bytes) -> Member:
        if not request.target.partition(b"?")[0].endswith(b"/infer"):
            raise Unmergeable("path")
        end = _json_end(request.headers, body)
        if end == 0:
            raise Unmergeable("raw")
        top, tail = _unframed(body, end)
        _check_call(top)
        call = Call(top, tensors(top["inputs"], tail), end is not None)
        rows = _rows(call.inputs)
        return Member(request, rows, _key(call), call)

    def _merged(self, members: Sequence[Member]) -> Body:
        calls: list[Call] = [member.parsed for member in members]
        inputs = [joined(parts) for parts in zip(*(call.inputs for call in calls), strict=True)]
        top = {**calls[0].top, "id": Raw(b'"%b"' % self._new_id())}
        json = text.encode({**top, "inputs": [tensor.members for tensor in inputs]})
        return _framed(json, [tensor.blob for tensor in inputs], calls[0].framed)

    def _cut(self, answer: Response, body: bytes, members: Sequence[Member]) -> list[Body]:
        end = _json_end(answer.headers, body)
        top, tail = _unframed(body, end)
        outputs = tensors(top["outputs"], tail)
        counts = [member.rows for member in members]
        _check_answer(top, outputs, sum(counts))
        frames = Frames(top, outputs)
        shares = zip(*(cut(output, counts) for output in outputs), strict=True)
        return [
            _framed(frames.of(member.rows, member.parsed.id, share), share, end is not None)
            for member, share in zip(members, shares, strict=True)
        ]


def _json_end(headers: Headers, body: bytes) -> int | None:
    """Where binary data begin, if the message says so. Raises ValueError if that is not within the body."""
    written = header(headers, JSON_LENGTH)
    if written is None:
        return None
    end = int(written) if written.isdigit() and len(written) < 20 else -1
    if not 0 <= end <= len(body):
        raise ValueError("inference-header-content-length does not fit the body")
    return end


def _unframed(body: bytes, end: int | None) -> tuple[text.Members, memoryview]:
    """The JSON, and the binary data behind it."""
    return text.members(text.utf8(body[:end])), memoryview(body)[len(body) if end is None else end :]


def _framed(json: bytes, data: Iterable[Raw | bytes | memoryview | None], framed: bool) -> Body:
    """With those of ``data`` behind it that are binary."""
    if not framed:
        return json, None
    return b"".join((json, *(blob for blob in data if blob is not None and not isinstance(blob, Raw)))), len(json)


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
    try:
        tensor.check()
    except ValueError:
        raise Unmergeable("data") from None


def _key(call: Call) -> Hashable:
    rest = frozenset((name, text.compared(value)) for name, value in call.top.items() if name not in _PER_REQUEST)
    return call.framed, rest, tuple(tensor.key for tensor in call.inputs)


def _check_answer(top: text.Members, outputs: Sequence[Tensor], count: int) -> None:
    check_others([top], ("outputs",), count)
    for output in outputs:
        for name, value in output.beside.items():
            if text.has_array(value, count):
                raise Mismatch(f"an output's '{name}' has {count} elements, as the rows have")
