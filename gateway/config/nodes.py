"""A parsed document before anyone knows what it means: scalars as text, mappings as pairs, each with its place."""

from __future__ import annotations

import re

import msgspec

from .report import Place


class ScalarNode(msgspec.Struct):
    """A scalar's text; ``plain`` when it has no quotes and so may be a number, a truth value or nothing."""

    text: str
    plain: bool
    place: Place
    size: int = 1
    depth: int = 1


class MappingNode(msgspec.Struct):
    """Pairs in the order of the file. ``size`` and ``depth`` are as if every alias were written out."""

    pairs: list[tuple[Node, Node]]
    place: Place
    size: int = 1
    depth: int = 1


class SequenceNode(msgspec.Struct):
    """A list; ``size`` and ``depth`` as in MappingNode."""

    items: list[Node]
    place: Place
    size: int = 1
    depth: int = 1


Node = ScalarNode | MappingNode | SequenceNode

_CORE = (
    ("nothing", re.compile(r"~|null|Null|NULL|")),
    ("the truth value", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("the number", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    (
        "the number",
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
    ),
)
NULL, BOOL, INT, FLOAT = (pattern for _, pattern in _CORE)
"""The plain scalars that are not text, by the core schema of YAML 1.2: `yes` and `on` are text."""


def is_null(node: Node) -> bool:
    """True for an empty value, ``~`` and ``null``."""
    return isinstance(node, ScalarNode) and node.plain and NULL.fullmatch(node.text) is not None


def described(node: Node) -> str:
    """What stands there, for error messages."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    return described_text(node.text, node.plain)


def described_text(text: str, plain: bool) -> str:
    """What a scalar is: ``the number 5``, ``nothing``, ``'iris'``."""
    for name, pattern in _CORE if plain else ():
        if pattern.fullmatch(text):
            return name if name == "nothing" else f"{name} {text}"
    return f"'{text}'"
