"""How inference bodies merge and split: the batcher's only knowledge of protocols."""

from __future__ import annotations

from .format import Format
from .paths import Paths, path_of
from .v1 import V1
from .v2 import V2


def format_of(protocol: str, rows_path: str | None = None, predictions_path: str | None = None) -> Format:
    """What ``protocol`` (v1, v2 or raw) has in its bodies; with both paths, what they say, whatever the protocol.

    Raises ValueError for what is no path, for one without the other, and for raw without them.
    """
    if rows_path is not None and predictions_path is not None:
        return Paths(path_of(rows_path), path_of(predictions_path))
    if rows_path is not None or predictions_path is not None:
        raise ValueError("'rowsPath' and 'predictionsPath' go together")
    if protocol == "raw":
        raise ValueError("where the rows are is not known with protocol raw: 'rowsPath' and 'predictionsPath' say it")
    return V1() if protocol == "v1" else V2()
