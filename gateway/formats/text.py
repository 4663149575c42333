"""JSON text, taken apart and put together again without reading what is in it.

The rule: every piece is a whole JSON value, byte for byte as it came, so 2^53+1, 1e400 and long decimals survive. What
is taken apart is checked first: no bracket or comma that is not the grammar's (RFC 8259). All raise ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw

Members = dict[str, Raw]
"""An object, its values unread. Of members with the same name the last one counts."""

Text = bytes | Raw

DEPTH: Final = 8
"""How deep it is looked into what is nested, since every level is read once more."""

# It is ``find`` here and not ``in``, which takes the bytes for a number first, and fails, and costs twice as much.

_SPACE: Final = b" \t\r\n"
_EMPTY: Final = re.compile(rb"\[[ \t\r\n]*\]")
_KINDS: Final = dict(zip(b'[{"tfn', ("array", "object", "string", "boolean", "boolean", "null"), strict=True))

whole = msgspec.json.Decoder(Raw).decode
"""Any value, without the white space around it."""

members = msgspec.json.Decoder(Members).decode
"""The members of an object."""

elements = msgspec.json.Decoder(list[Raw]).decode
"""The elements of an array."""

encode = msgspec.json.encode
"""Objects and arrays of pieces as text; the pieces stay as they are."""


def utf8(body: bytes) -> bytes:
    """``body``, if it is UTF-8, which the checks of the grammar do not look at."""
    if not body.isascii():
        body.decode()
    return body


def is_value(plain: bytes) -> bool:
    """Whether it is one value, and UTF-8."""
    try:
        whole(utf8(plain))
    except ValueError:
        return False
    return True


def compared(value: Text) -> bytes:
    """What stands for a value in a key, which may be kept for long: the text, or its digest if that is shorter."""
    plain = bytes(value)
    return plain if len(plain) <= 64 else blake2b(plain).digest()


def array(pieces: Iterable[Text]) -> Raw:
    """An array of these elements, or runs of elements."""
    return Raw(b"".join((b"[", b",".join(pieces), b"]")))


def run(text: Text) -> bytes:
    """The elements of an array as they stand between its brackets; only white space if there are none."""
    return bytes(text)[1:-1]


def kind(value: Text) -> str:
    """What sort of value it is: ``array``, ``object``, ``string``, ``boolean``, ``null`` or ``number``."""
    return _KINDS.get(memoryview(value)[0], "number")


def nested(text: Text) -> bool:
    """Whether the first element of an array is an array."""
    return run(text).lstrip(_SPACE)[:1] == b"["


def length(text: Text) -> int:
    """The number of elements of an array."""
    plain = bytes(text)
    return _flat_length(plain, run(plain).strip(_SPACE)) if _flat(plain) else len(elements(plain))


def counts(text: Text, depth: int = DEPTH) -> tuple[int, int]:
    """Of an array, ``length`` and ``leaves``."""
    plain = bytes(text)
    if _flat(plain):
        elements = _flat_length(plain, run(plain).strip(_SPACE))
        return elements, elements
    return length(plain), leaves(plain, depth)


def leaves(text: Text, depth: int = DEPTH) -> int:
    """The number of values in an array that are not arrays, down to ``depth``."""
    plain = bytes(text)
    if plain.find(b'"') < 0 and plain.find(b"{") < 0 and not _EMPTY.search(plain):
        return plain.count(b",") + 1  # an array of n elements has n - 1 commas, whatever its depth
    if plain.find(b"[", 1) < 0:
        return len(elements(plain))
    if not depth:
        raise ValueError("nested too deeply")
    return sum(leaves(element, depth - 1) if kind(element) == "array" else 1 for element in elements(plain))


def _flat(plain: bytes) -> bool:
    """Whether an array surely has no arrays and objects in it; a string with a bracket in it makes that unsure."""
    return plain.find(b"[", 1) < 0 and plain.find(b"{") < 0


def _flat_length(plain: bytes, inside: bytes) -> int:
    if inside.find(b'"') >= 0:
        return len(elements(plain))
    return inside.count(b",") + 1 if inside else 0


def rows(text: Text, depth: int = DEPTH) -> tuple[int, object]:
    """The number of elements of an array, and the outline of the first."""
    plain = bytes(text)
    inside = plain[1:-1].strip(_SPACE)
    if inside.find(b"[") < 0 and inside.find(b"{") < 0:
        return _flat_length(plain, inside), _KINDS.get(inside[0], "number") if inside else "nothing"
    if depth > 1 and inside[:1] == b"[" and inside.find(b"]") == len(inside) - 1:
        return 1, rows(inside, depth - 1)  # the first array ends with the last byte, so there is no other
    inner = elements(plain)
    return len(inner), outline(inner[0], depth - 1)


def outline(value: Text, depth: int = DEPTH) -> object:
    """The shape of a value as far as its first elements tell: what model servers want the rows of a call to share."""
    sort = kind(value)
    if sort not in ("object", "array") or not depth:
        return sort
    if sort == "array":
        return rows(value, depth)
    return frozenset((name, outline(inner, depth - 1)) for name, inner in members(value).items())


def has_array(value: Raw, count: int, depth: int = DEPTH) -> bool:
    """Whether it is an array of ``count`` elements, or an object with such an array in it."""
    sort = kind(value)
    if sort != "object":
        return sort == "array" and length(value) == count
    if not depth:
        raise ValueError("nested too deeply")
    return any(has_array(inner, count, depth - 1) for inner in members(value).values())
