"""The path template of an API's request: for names of which there are few, as traces want them."""

from __future__ import annotations

import re

_V1 = re.compile(rb"/v1/models/[^/]+?(/versions/[^/:]+)?(:predict|:explain)?").fullmatch
_V2 = re.compile(rb"/v2/models/[^/]+(/versions/[^/]+)?(/infer|/ready)?").fullmatch


def template(target: bytes) -> str | None:
    """``/v1/models/{model}:predict`` and its like; None for a target of no API."""
    path = target.partition(b"?")[0]
    match = _V1(path) or _V2(path)
    if match is None:
        return None
    version, verb = match.groups(b"")
    return f"{path[:10].decode()}/{{model}}{'/versions/{version}' if version else ''}{verb.decode()}"
