"""JSON and numbers out of text that may be neither, read as leniently as gjson reads it. Nothing here raises."""

from __future__ import annotations

import re
from math import inf, nan
from typing import Final

import orjson


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What a path finds where nothing is; JSON's ``null`` is something."""

SPACE: Final = "".join(map(chr, range(0x21)))
"""All that counts as white space: the control characters too."""

_NUMBER = re.compile(r".[^\x00-\x20,\]}]*", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)', re.DOTALL)
_TEN = r"[0-9]++(?:_[0-9]++)*+"
_SIXTEEN = r"[0-9a-fA-F]++(?:_[0-9a-fA-F]++)*+"
_DECIMAL = re.compile(rf"[+-]?(?:{_TEN}(?:\.(?:{_TEN})?)?|\.{_TEN})(?:[eE][+-]?{_TEN})?")
_HEXADECIMAL = re.compile(rf"[+-]?0[xX](?:_?{_SIXTEEN}(?:\.(?:{_SIXTEEN})?)?|\.{_SIXTEEN})[pP][+-]?{_TEN}")
_INFINITY = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE | re.ASCII)
_CHARACTERS = re.compile(r'[^\\\x00-\x1f]++|\\(?:(?P<short>["\\/bfnrt])|u(?:(?P<code>[0-9a-fA-F]{4})|.{4}))', re.DOTALL)
_SHORT = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def read(text: str) -> object:
    """The first JSON value in ``text``, or MISSING where none begins; a broken object or array is an empty one."""
    text = text.lstrip(SPACE)
    match text[:1]:
        case "{":
            return load(text, broken={})
        case "[":
            return load(text, broken=[])
        case '"':
            return _string(text)
        case "t":
            return True
        case "f":
            return False
        case "n" if text[1:2] in ("u", ""):
            return None
        case first if first and first in "+-0123456789niIN":
            return _number(text)
    return MISSING


def load(text: str, broken: object) -> object:
    """The value of the JSON ``text``, or ``broken`` where it is not JSON."""
    try:
        return orjson.loads(text)
    except ValueError:
        return broken


def _string(text: str) -> str:
    content = _STRING.match(text)
    assert content is not None, text
    return unescape(content[1]) if "\\" in content[1] else content[1]


def _number(text: str) -> object:
    digits = _NUMBER.match(text)
    assert digits is not None, text
    return load(digits[0], broken=parse_float(digits[0]))


def write(value: object) -> object:
    """``value`` as compact JSON text; MISSING for what has none, being nested deeper than JSON writers go."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return MISSING


def unescape(text: str) -> str:
    """The inside of a JSON string; it ends where an escape is not one of JSON's."""
    pieces, at = [], 0
    while piece := _CHARACTERS.match(text, at):
        pieces.append(_character(piece))
        at = piece.end()
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(piece: re.Match[str]) -> str:
    if piece[0][0] != "\\":
        return piece[0]
    return _SHORT[piece["short"]] if piece["short"] else chr(int(piece["code"] or "0", 16))


def parse_float(text: str) -> float:
    """The number that Go's ``strconv.ParseFloat`` makes of ``text``: 0 if it is none, infinity if it is too large."""
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _HEXADECIMAL.fullmatch(text):
        return _from_hexadecimal(text.replace("_", ""))
    if _INFINITY.fullmatch(text):
        return -inf if text[0] == "-" else inf
    return nan if text.lower() == "nan" else 0.0


def _from_hexadecimal(text: str) -> float:
    try:
        return float.fromhex(text)
    except OverflowError:
        return -inf if text[0] == "-" else inf


def as_float(number: int | float) -> float:
    """``number`` as a float64, which is how gjson compares all of them."""
    try:
        return float(number)
    except OverflowError:
        return inf if number > 0 else -inf
