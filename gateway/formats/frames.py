"""Frames: the JSON of a v2 answer around what each caller gets of it, written once for all who have as many rows."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from . import text
from .template import GAP, Template
from .tensor import Tensor


class Frames:
    """Of the answer ``top``, whose tensors are ``outputs``."""

    def __init__(self, top: text.Members, outputs: Sequence[Tensor]) -> None:
        names = list(top)
        self._top = top
        self._outputs = outputs
        self._named = "id" in top
        self._id_first = self._named and names.index("id") < names.index("outputs")
        self._known: dict[tuple[int, bool], Template] = {}

    def of(self, rows: int, id: Raw | None, share: Sequence[Raw | memoryview]) -> bytes:
        """With ``share`` of the outputs, and with the caller's own ``id`` or, if it has none, without one."""
        own = id if self._named else None
        frame = self._known.get((rows, own is None)) or self._learn(rows, own is None)
        values = [data if isinstance(data, Raw) else b"%d" % len(data) for data in share]
        if own is not None:
            values.insert(0 if self._id_first else len(values), own)
        return frame.filled(values)

    def _learn(self, rows: int, nameless: bool) -> Template:
        members: dict[str, object] = {**self._top, "outputs": [output.outlined(rows) for output in self._outputs]}
        if nameless:
            members.pop("id", None)
        else:
            members["id"] = GAP
        frame = self._known[rows, nameless] = Template(text.encode(members))
        return frame
