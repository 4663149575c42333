"""The v2 protocol (Open Inference Protocol), REST, with tensors as JSON or binary.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Raw

from gateway.layers.recover import RequestIds
from gateway.message import Headers, Request, Response, header

from . import text
from .calls import Call, Calls, unframed
from .format import Member, Mismatch, Unmergeable
from .frames import Frames
from .path import check_others
from .spliced import JSON_LENGTH, Body, Spliced
from .tensor import Tensor, cut, joined, tensors


class V2(Spliced):
    """``POST /v2/models/NAME/infer``. ``new_id`` makes the ids of merged calls; the callers get their own back."""

    def __init__(self, new_id: Callable[[], bytes] | None = None) -> None:
        super().__init__()
        self._new_id = new_id or RequestIds()
        self._calls = Calls()

    def _read(self, request: Request, body: bytes) -> Member:
        if not request.target.partition(b"?")[0].endswith(b"/infer"):
            raise Unmergeable("path")
        end = _json_end(request.headers, body)
        if end == 0:
            raise Unmergeable("raw")
        call = self._calls.read(body, end)
        return Member(request, call.rows, call.key, call)

    def _merged(self, members: Sequence[Member]) -> Body:
        calls: list[Call] = [member.parsed for member in members]
        inputs = [joined(parts) for parts in zip(*(call.inputs for call in calls), strict=True)]
        top = {**calls[0].top, "id": Raw(b'"%b"' % self._new_id())}
        json = text.encode({**top, "inputs": [tensor.members for tensor in inputs]})
        return _framed(json, [tensor.blob for tensor in inputs], calls[0].framed)

    def _cut(self, answer: Response, body: bytes, members: Sequence[Member]) -> list[Body]:
        end = _json_end(answer.headers, body)
        top, tail = unframed(body, end)
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


def _framed(json: bytes, data: Iterable[Raw | bytes | memoryview | None], framed: bool) -> Body:
    """With those of ``data`` behind it that are binary."""
    if not framed:
        return json, None
    return b"".join((json, *(blob for blob in data if blob is not None and not isinstance(blob, Raw)))), len(json)


def _check_answer(top: text.Members, outputs: Sequence[Tensor], count: int) -> None:
    check_others([top], ("outputs",), count)
    for output in outputs:
        for name, value in output.beside.items():
            if text.has_array(value, count):
                raise Mismatch(f"an output's '{name}' has {count} elements, as the rows have")
