"""What every struct of the configuration is made of.

Field names are the camelCase keys of the file in snake_case. Durations are seconds, sizes are bytes, once decoded.
What ``Meta(extra=...)`` may say of a field: ``scalar`` (how its text is read), ``or_one`` (a lone scalar stands for a
list of one), ``alias`` (a second key for it), ``internal`` (not a key of the file at all).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Mapping(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """One YAML mapping."""


Duration = Annotated[float, Meta(extra={"scalar": "duration"})]
"""A Gateway API duration (GEP-2257): ``250ms``, ``1m30s``."""

Size = Annotated[int, Meta(ge=0, extra={"scalar": "size"})]
"""``64KiB``, ``16MiB``, ``1GiB`` or plain bytes."""

Count = Annotated[int, Meta(ge=0)]

Positive = Annotated[int, Meta(ge=1)]

Percent = Annotated[int, Meta(ge=0, le=100)]

Ratio = Annotated[float, Meta(ge=0, le=1)]
"""A share, from 0 to 1."""

Status = Annotated[int, Meta(ge=200, le=599)]
"""An HTTP status code."""
