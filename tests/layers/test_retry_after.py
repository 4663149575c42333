from __future__ import annotations

import pytest

from gateway.layers.retry_after import retry_after
from tests.support.service import answer

NOW = 1_445_412_470.0  # Wed, 21 Oct 2015 07:27:50 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"120", 120.0),
        (b"Wed, 21 Oct 2015 07:28:00 GMT", 10.0),
        (b"Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        (b"-5", 0.0),
        (b"1.5", 0.0),
        (b"9" * 5000, 0.0),
        (b"soon", 0.0),
        (b"", 0.0),
        (b"\xff", 0.0),
        (b"Wed, 32 Oct 2015 07:28:00 GMT", 0.0),
        (b"Wed, 21 Oct 99999 07:28:00 GMT", 0.0),
    ],
)
def test_seconds_or_a_date_and_nothing_else(value: bytes, seconds: float) -> None:
    assert retry_after(answer(status=503, headers=[(b"retry-after", value)]), NOW) == seconds


def test_without_one() -> None:
    assert retry_after(answer(status=503), NOW) == 0.0
