"""Random ids, many at a time: most requests need some, and are not traced."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

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
            self._text = _random()
            at = 0
        self._at = at + count
        return self._text[at : at + count]


def roots(pattern: bytes, bound: bytes) -> Iterator[bytes | None]:
    """For each trace that begins here its header lines; None where it is to be traced, whatever its ids will be.

    Without end. ``bound``: the sampler's; ``pattern``: see ``lines``.
    """
    # Their first digit alone tells most of those that are not less than the bound.
    near = re.compile(b"[0-%c]" % bound[0]).finditer
    return chain.from_iterable(iter(partial(_drawn, pattern, bound, near), None))


def _drawn(pattern: bytes, bound: bytes, near: Callable[[bytes], Iterator[re.Match[bytes]]]) -> list[bytes | None]:
    digits = _random()
    drawn: list[bytes | None] = [*lines(pattern, digits)]
    for match in near(digits[::16]):
        number = match.start()
        if digits[16 * number : 16 * number + 16] < bound:
            drawn[number] = None
    return drawn


def lines(pattern: bytes, digits: bytes) -> tuple[bytes, ...]:
    """Header lines of many traces that begin here: random digits in the places of ``pattern`` that are ``?``.

    Those of a batch share their span id, which nobody records, and the first half of the trace id: samplers decide by
    its last 16 digits, which are ``digits``, 16 for each, and these are random enough to tell traces apart.
    """
    places = [place for place, byte in enumerate(pattern) if byte == ord("?")]
    shared = os.urandom(_DIGITS // 2).hex().encode()
    one = bytearray(pattern)
    for number, place in enumerate(places):
        one[place] = shared[number % _DIGITS]
    text = one * _AT_ONCE
    for number, place in enumerate(places):
        if 16 <= number % _DIGITS < 32:  # digit by digit, for all of them at once
            text[place :: len(pattern)] = digits[number % 16 :: 16]
    return struct.unpack(f"{len(pattern)}s" * _AT_ONCE, text)


def _random() -> bytes:
    return os.urandom(_AT_ONCE * 8).hex().encode()
