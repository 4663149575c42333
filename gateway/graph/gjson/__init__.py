"""GJSON paths on parsed JSON: what ``tidwall/gjson`` v1.18.0 finds in a text, found in the document parsed from it.

The syntax is gjson's SYNTAX.md, whole. Where that page and the Go code disagree, the code is followed. What parsing has
already settled cannot be told apart, and that is the rule for it: of a repeated key the last value counts, ``@pretty``
and ``@ugly`` change nothing but the order of keys, ``@tostr`` writes compact text, and a string is never searched for
brackets. Text that is not JSON (after ``!`` or ``@fromstr``) but begins like an object or array counts as an empty one.

No path and no document raises: what does not exist, or nests too deep for the stack, is MISSING.
"""

from __future__ import annotations

from functools import lru_cache

from .modifiers import Program
from .path import Compiler
from .text import MISSING

__all__ = ["MISSING", "Program", "compile_path", "exists", "get"]


def get(document: object, path: str) -> object:
    """The value at ``path`` in ``document`` (dict, list, str, int, float, bool or None); None where there is none.

    ``exists`` tells a missing value from a ``null``. Containers may be the document's own, not copies: look, don't
    touch. A path that starts with ``..`` is meant for JSON lines: a list is taken for the values of the lines, anything
    else for a single line.
    """
    found = compile_path(path)(document)
    return None if found is MISSING else found


def exists(document: object, path: str) -> bool:
    """True when there is a value at ``path``; ``false``, ``0``, ``""`` and ``null`` are values too."""
    return compile_path(path)(document) is not MISSING


@lru_cache(maxsize=1024)
def compile_path(path: str) -> Program:
    """``path`` as a function from a document to the value there, or MISSING. Compiled once, for many documents."""
    try:
        program = Compiler().path(path)
    except RecursionError:
        return _missing

    def run(document: object) -> object:
        try:
            return program(document)
        except RecursionError:
            return MISSING

    return run


def _missing(document: object) -> object:
    return MISSING
