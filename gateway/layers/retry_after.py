"""Retry-After: how long a model server asks to be left alone (RFC 9110 section 10.2.3)."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from gateway.message import Response, header

_SECONDS = re.compile(rb"[0-9]{1,9}").fullmatch


def retry_after(answer: Response, now: float) -> float:
    """Seconds from ``now`` (Unix time) on; 0.0 where the answer does not say, or nothing that can be read."""
    value = header(answer.headers, b"retry-after")
    if value is None:
        return 0.0
    if _SECONDS(value):
        return float(value)
    try:
        return max(parsedate_to_datetime(value.decode("latin-1")).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return 0.0
