"""The v1 protocol: TensorFlow Serving's REST API, and KServe's.

https://www.tensorflow.org/tfx/serving/api_rest: ``instances`` (rows) or ``inputs`` (columns) for ``:predict``,
``examples`` for ``:classify`` and ``:regress``. ``:explain`` does not answer row by row.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gateway.message import Request

from .columns import Columns
from .format import Unmergeable
from .layout import Content, Laid, Layout
from .rows import Rows

_INSTANCES: Final = Rows(("instances",), ("predictions",))
_EXAMPLES: Final = Rows(("examples",), ("results",), ("result",))  # "result" is what the documentation says

_LAYOUTS: Final[dict[bytes, tuple[Layout, ...]]] = {
    b"predict": (_INSTANCES, Columns()),
    b"classify": (_EXAMPLES,),
    b"regress": (_EXAMPLES,),
}


class V1(Laid):
    """``POST /v1/models/NAME:predict``, ``:classify`` and ``:regress``."""

    def _content(self, request: Request, body: bytes) -> Content:
        for layout in _layouts(request.target):
            try:
                content = layout.read(body)
            except KeyError:
                continue
            if layout is _INSTANCES and "inputs" in content.levels[0]:
                break  # servers disagree about which of them counts
            return content
        raise Unmergeable("malformed")


@lru_cache(64)
def _layouts(target: bytes) -> tuple[Layout, ...]:
    verb = target.partition(b"?")[0].rpartition(b":")[2]
    if verb not in _LAYOUTS:
        raise Unmergeable("path")
    return _LAYOUTS[verb]
