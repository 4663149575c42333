"""``${NAME}`` and ``${NAME:-default}`` from the environment; ``$$`` is a dollar, and so is a dollar on its own."""

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<open>\{)(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?|)"
)


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """``text`` with its variables filled in. As in a shell, ``:-`` also stands in for an empty one.

    Raises ValueError for a variable that is not set, and for a ``${`` that opens none.
    """

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if not found["open"]:
            return found[0]
        if not found["name"]:
            raise ValueError("'${' begins no variable; write ${NAME}, ${NAME:-default}, or $${ for the characters ${")
        return _lookup(found["name"], found["default"], environ)

    return _VARIABLE.sub(value, text) if "$" in text else text


def _lookup(name: str, default: str | None, environ: Mapping[str, str]) -> str:
    if default is not None:
        return environ.get(name) or default
    if name not in environ:
        raise ValueError(f"the environment variable {name} is not set; write ${{{name}:-default}} to do without it")
    return environ[name]
