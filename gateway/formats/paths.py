"""Any JSON API whose rows are an array: the configuration says where, in requests and in answers."""

from __future__ import annotations

from gateway.message import Request

from .layout import Content, Laid
from .path import Path
from .rows import Rows


class Paths(Laid):
    """Rows at ``rows``, their answers at ``predictions``, for every POST."""

    def __init__(self, rows: Path, predictions: Path) -> None:
        super().__init__()
        self._rows = Rows(rows, predictions)

    def _content(self, request: Request, body: bytes) -> Content:
        return self._rows.read(body)


def path_of(written: str) -> Path:
    """``data.ndarray`` names members inside members, ``$`` the body itself. Raises ValueError."""
    path = () if written == "$" else tuple(written.split("."))
    if "" in path:
        raise ValueError(f"'{written}' is not a path such as 'instances', 'data.ndarray' or '$'")
    return path
