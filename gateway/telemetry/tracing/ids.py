"""Random ids, many at a time: most requests need some, and are not traced."""

from __future__ import annotations

import os
import struct

_AT_ONCE = 256
_DIGITS = 48
"""Of a trace id and a span id."""


class Digits:
    """Random hexadecimal digits."""

    __slots__ = ("_at", "_text")

    def __init__(self) -> None:
        self._text = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        at = self._at
        if at + count > len(self._text):
            self._text = os.urandom(_AT_ONCE * 8).hex().encode()
            at = 0
        self._at = at + count
        return self._text[at : at + count]


def lines(pattern: bytes) -> list[bytes]:
    """Header lines of many traces that begin here: random digits in the places of ``pattern`` that are ``?``.

    Those of a batch share their span id, which nobody records, and the first half of the trace id: samplers decide by
    its last 16 digits, and these are random enough to tell traces apart.
    """
    places = [place for place, byte in enumerate(pattern) if byte == ord("?")]
    shared = os.urandom(_DIGITS // 2).hex().encode()
    one = bytearray(pattern)
    for number, place in enumerate(places):
        one[place] = shared[number % _DIGITS]
    digits = os.urandom(_AT_ONCE * 8).hex().encode()
    text = one * _AT_ONCE
    for number, place in enumerate(places):
        if 16 <= number % _DIGITS < 32:  # digit by digit, for all of them at once
            text[place :: len(pattern)] = digits[number % 16 :: 16]
    return [line for (line,) in struct.iter_unpack(f"{len(pattern)}s", text)]
