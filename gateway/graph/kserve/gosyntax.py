"""The words of Go's encoding/json for what is wrong with a JSON text. No recursion: nesting is a stack of brackets.

Read only when a text is known to be wrong, so it is written for exactness and not for speed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

_MAX_DEPTH = 10_000
_SPACE = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_State = Callable[[], "_State | None"]


class _Wrong(Exception):
    pass


def syntax_error(text: bytes) -> str:
    """The message of json.Unmarshal's SyntaxError; empty for a text without one."""
    # At the end of its input Go feeds its scanner one more space, and words the mistake accordingly.
    scanner = _Scanner(text + b" ")
    state: _State | None = scanner.value
    try:
        while state is not None:
            state = state()
    except _Wrong as wrong:
        return str(wrong)
    except IndexError:
        return "unexpected end of JSON input"
    return ""


class _Scanner:
    """Each state reads on from ``at`` and returns the state after it; running off the text is an IndexError."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0
        self.open = bytearray()

    # What may come next.

    def value(self) -> _State | None:
        self.space()
        char = self.text[self.at]
        if char in b"{[":
            return self.enter(char)
        if char == ord('"'):
            self.string()
        elif char in b"-0123456789":
            self.number()
        elif char in _LITERALS:
            self.literal(_LITERALS[char])
        else:
            self.wrong("looking for beginning of value")
        return self.after_value

    def enter(self, bracket: int) -> _State | None:
        self.open.append(bracket)
        if len(self.open) > _MAX_DEPTH:
            self.wrong("exceeded max depth")
        self.at += 1
        self.space()
        if self.text[self.at] == bracket + 2:  # "}" and "]" stand two after "{" and "["
            return self.leave()
        return self.key if bracket == ord("{") else self.value

    def leave(self) -> _State | None:
        self.open.pop()
        self.at += 1
        return self.after_value

    def key(self) -> _State | None:
        self.space()
        if self.text[self.at] != ord('"'):
            self.wrong("looking for beginning of object key string")
        self.string()
        self.space()
        if self.text[self.at] != ord(":"):
            self.wrong("after object key")
        self.at += 1
        return self.value

    def after_value(self) -> _State | None:
        self.space()
        if not self.open:
            return self.end()
        char, bracket = self.text[self.at], self.open[-1]
        if char == bracket + 2:
            return self.leave()
        if char != ord(","):
            self.wrong("after object key:value pair" if bracket == ord("{") else "after array element")
        self.at += 1
        return self.key if bracket == ord("{") else self.value

    def end(self) -> _State | None:
        if self.at < len(self.text):
            self.wrong("after top-level value")
        return None

    # Tokens.

    def space(self) -> None:
        self.skip(_SPACE)

    def string(self) -> None:
        self.at += 1
        self.skip(_PLAIN)
        while self.text[self.at] != ord('"'):
            self.escape()
            self.skip(_PLAIN)
        self.at += 1

    def escape(self) -> None:
        self.expect(b"\\", "in string literal")
        if self.text[self.at] != ord("u"):
            self.expect(b'bfnrt\\/"', "in string escape code")
            return
        self.at += 1
        for _ in range(4):
            self.expect(b"0123456789abcdefABCDEF", "in \\u hexadecimal character escape")

    def number(self) -> None:
        self.at += self.text[self.at] == ord("-")
        first = self.text[self.at]
        self.expect(b"0123456789", "in numeric literal")
        if first != ord("0"):
            self.skip(_DIGITS)
        if self.text[self.at] == ord("."):
            self.at += 1
            self.digits("after decimal point in numeric literal")
        if self.text[self.at] in b"eE":
            self.at += 1
            self.at += self.text[self.at] in b"+-"
            self.digits("in exponent of numeric literal")

    def digits(self, place: str) -> None:
        self.expect(b"0123456789", place)
        self.skip(_DIGITS)

    def literal(self, word: bytes) -> None:
        for char in word:
            self.expect(bytes([char]), f"in literal {word.decode()} (expecting {_shown(char)})")

    # Steps.

    def skip(self, pattern: re.Pattern[bytes]) -> None:
        found = pattern.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def expect(self, chars: bytes, place: str) -> None:
        if self.text[self.at] not in chars:
            self.wrong(place)
        self.at += 1

    def wrong(self, place: str) -> NoReturn:
        raise _Wrong(f"invalid character {_shown(self.text[self.at])} {place}")


def _shown(char: int) -> str:
    """A byte as Go's quoteChar shows it: as the Latin-1 character of that number."""
    if char == ord("'"):
        return r"'\''"
    if char == ord("\\"):
        return r"'\\'"
    if chr(char).isprintable():
        return f"'{chr(char)}'"
    short = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r"}.get(char)
    if short is not None:
        return f"'\\{short}'"
    return f"'\\x{char:02x}'" if char < 0x80 else f"'\\u{char:04x}'"
