r"""How the text of a path falls into parts. Only text in this file: no document, nothing evaluated.

gjson has no grammar of its own apart from its code, which finds the end of each kind of part in its own way: a ``\``
escapes in a key but not in an index, brackets are counted in one place and not in another, a pipe is looked for where a
dot is not. So there is a function for each kind of part here, and each keeps to that one kind's rules.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .modifiers import NAMES
from .text import SPACE, unescape

_QUOTED = r'"(?:[^"\\]|\\.)*+"?'
_BALANCE = re.compile(rf"{_QUOTED}|[{{}}()\[\]]", re.DOTALL)
_KEY = re.compile(r"(?:[^.|\\]|\\.)*+", re.DOTALL)
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_WILD = re.compile(r"(?:[^*?\\]|\\.)*+[*?]", re.DOTALL)
_PIPE_OR_DOT = re.compile(r"[.|]")
_NAME_END = re.compile(r"[.|:]")
_QUERY = re.compile(rf"\\.|{_QUOTED}|[()\[\]!=<>%]", re.DOTALL)
_OPERATION = re.compile(r"!=|!%|<=|>=|==|[<>=%]|!\Z")
_SELECTOR = re.compile(rf"\\.|{_QUOTED}|[{{}}()\[\]@:,]", re.DOTALL)
_PIPE = re.compile(r"\\.|\.#(?P<bracket>[(\[])|\.#.|\|", re.DOTALL)
_BRACKETS = {
    "(": re.compile(rf"\\.|{_QUOTED}|[()]", re.DOTALL),
    "[": re.compile(rf"\\.|{_QUOTED}|[\[\]]", re.DOTALL),
}
_ARGUMENT = re.compile(r'[|{\["(]')
_NOT_SIMPLE = re.compile(r"[\x00-\x1f\[\]{}()#|!]")


class Tail(NamedTuple):
    """What follows a component: ``rest`` goes on inside the value, ``pipe`` starts anew on the result; or neither."""

    rest: str | None
    pipe: str | None


class Query(NamedTuple):
    """``#(path operation right)``, and where it ends."""

    path: str
    operation: str
    right: str
    end: int


class Selector(NamedTuple):
    """One path of a multipath, with the name given to it, if one was."""

    name: str
    path: str


def is_call(text: str) -> bool:
    """True when ``text`` starts a modifier or a multipath: a dot before one is as good as a pipe."""
    if text.startswith("@"):
        return _NAME_END.split(text, maxsplit=1)[0][1:] in NAMES
    return text.startswith(("[", "{"))


def split_key(text: str) -> tuple[str, bool, Tail]:
    """The leading component as an object's key, whether it has wildcards, and what follows."""
    found = _KEY.match(text)
    assert found is not None, text
    part, end = found[0], found.end()
    if text[end:] == "\\":
        end += 1  # a lone backslash is dropped
    wild = _WILD.match(part) is not None
    return _ESCAPED.sub(r"\1", part), wild, _tail(text, end, calls=True)


def split_index(text: str) -> tuple[str, Query | None, Tail]:
    """The leading component as something to do with an array, with its query where it starts like one."""
    query, at = None, 0
    if text.startswith(("#(", "#[")):
        query = split_query(text)
        if query is None:
            return text, Query("", "", "", len(text)), Tail(None, None)
        at = query.end
    found = _PIPE_OR_DOT.search(text, at)
    end = found.start() if found else len(text)
    part = text[:end]
    return part, query, _tail(text, end, calls="#" not in part)


def _tail(text: str, end: int, calls: bool) -> Tail:
    after = text[end + 1 :]
    if end >= len(text):
        return Tail(None, None)
    if text[end] == "|" or (calls and is_call(after)):
        return Tail(None, after)
    return Tail(after, None)


def split_query(text: str) -> Query | None:
    """The query at the start of ``text``, or None when its bracket is never closed."""
    depth, operation, escaped = 1, 0, False
    for token in _QUERY.finditer(text, 2):
        first = token[0][0]
        if first == '"':
            escaped |= "\\" in token[0]
        elif first in "([":
            depth += 1
        elif first in ")]":
            depth -= 1
            if not depth:
                return _query(text, operation or token.start(), token.start(), escaped)
        elif first != "\\" and depth == 1 and not operation:
            operation = token.start()
    return None


def _query(text: str, middle: int, end: int, escaped: bool) -> Query:
    comparison = text[middle:end].strip(SPACE)
    found = _OPERATION.match(comparison)
    operation = found[0] if found else ""
    right = comparison[len(operation) :].strip(SPACE)
    if len(right) >= 2 and right[0] == right[-1] == '"':
        right = unescape(right[1:-1]) if escaped else right[1:-1]
    return Query(text[2:middle].strip(SPACE), "=" if operation == "==" else operation, right, end + 1)


def split_pipe(text: str) -> Tail:
    """The path after a ``#`` or a query: up to its first pipe it is for each element, from there on for the result."""
    if text.startswith("{"):
        end = 1 + _balanced(text[1:])
        return Tail(text[:end], text[end + 1 :]) if text[end : end + 1] == "|" else Tail(text, None)
    at = 0
    while found := _PIPE.search(text, at):
        if found[0] == "|":
            return Tail(text[: found.start()], text[found.end() :])
        at = found.end() if not found["bracket"] else _closed(text, found.end(), found["bracket"])
    return Tail(text, None)


def _closed(text: str, start: int, bracket: str) -> int:
    depth = 1
    for token in _BRACKETS[bracket].finditer(text, start):
        depth += 1 if token[0] == bracket else -1 if token[0] in ")]" else 0
        if not depth:
            return token.end()
    return len(text)


def _balanced(text: str, quote_opens: bool = False) -> int:
    """The end of the bracketed or quoted text that ``text`` starts with; any first character counts as a bracket."""
    quoted = text.startswith('"') and not quote_opens
    depth, start = (0, 0) if quoted else (1, 1)
    for token in _BALANCE.finditer(text, start):
        first = token[0][0]
        depth += 1 if first in "{[(" else -1 if first in "}])" else 0
        if not depth:
            return token.end()
    return len(text)


def split_modifier(text: str) -> tuple[str, str, str] | None:
    """Name, argument and what follows of ``@name:argument``; None where it is no modifier but a key."""
    name, rest = _until(text, _NAME_END)
    if name[1:] not in NAMES:
        return None
    if not rest.startswith(":"):
        return name[1:], "", rest
    end = 1 + _argument(rest[1:])
    return name[1:], rest[1:end], rest[end:]


def _until(text: str, end: re.Pattern[str]) -> tuple[str, str]:
    found = end.search(text)
    return (text[: found.start()], text[found.start() :]) if found else (text, "")


def _argument(text: str) -> int:
    if text.startswith(("{", "[", '"')):
        return _balanced(text)
    at = 0
    while found := _ARGUMENT.search(text, at):
        if found[0] == "|":
            return found.start()
        at = found.start() + _balanced(text[found.start() :])
    return len(text)


def split_literal(text: str) -> tuple[str, str] | None:
    """The JSON text of ``!literal`` and what follows; None where it is no literal but a key."""
    body = text[1:]
    if body[0] in '{["+-0123456789':
        end = _balanced(body, quote_opens=True)
        return body[:end], body[end:]
    name, rest = _until(body, _PIPE_OR_DOT)
    return (name, rest) if name.lower() in ("true", "false", "null", "nan", "inf") else None


def split_selectors(text: str) -> tuple[list[Selector], str] | None:
    """The paths of a multipath and what follows; None when its bracket is never closed."""
    selectors: list[Selector] = []
    depth, start, colon, modifier = 1, 1, 0, False
    for token in _SELECTOR.finditer(text, 1):
        first, at = token[0][0], token.start()
        if first in "{[(":
            depth += 1
        elif first == "@":
            modifier |= text[at - 1] in ".|"
        elif first == ":" and depth == 1 and not modifier:
            colon = colon or at
        elif first in "}])":
            depth -= 1
        if depth == 0 or (depth == 1 and first == ","):
            selectors.append(_selector(text, start, colon, at))
            start, colon, modifier = at + 1, 0, False
        if depth == 0:
            return selectors, text[at + 1 :]
    return None


def _selector(text: str, start: int, colon: int, end: int) -> Selector:
    return Selector(text[start:colon], text[colon + 1 : end]) if colon else Selector("", text[start:end])


def last_name(path: str) -> str:
    """The name of a selected value that was given none: the last component's, or ``_`` where that is not plain."""
    at = len(path) - 1
    while at >= 0 and (path[at] not in ".|" or (at > 0 and path[at - 1] == "\\")):
        at -= 1
    name = path[at + 1 :]
    return "_" if _NOT_SIMPLE.search(name) else name
