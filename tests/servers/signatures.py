"""The models that all servers have: each output is the input that it is named after.

The servers read this file as well, each in an environment of its own: nothing but the standard library here.
"""

from __future__ import annotations

WHOLE = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")

MODELS: dict[str, dict[str, tuple[str, int]]] = {
    "whole": {datatype.lower(): (datatype, 1) for datatype in WHOLE},
    "real": {"single": ("FP32", 1), "double": ("FP64", 2)},
    "half": {"x": ("FP16", 1)},
    "text": {"x": ("BYTES", 1)},
    "mixed": {"pixels": ("FP32", 2), "label": ("BYTES", 1), "count": ("INT64", 1)},
    "roots": {"x": ("FP64", 1)},
}
"""The inputs of each: the type, and how many dimensions a row has."""

REFUSING = "roots"
"""This one wants no number below zero."""

MOST = 64
"""Rows in a call, where a server has a limit."""


def output(name: str) -> str:
    """What the output for an input is called."""
    return f"same_{name}"


def refusal(worst: float) -> str:
    """What the refusing model says."""
    return f"{worst} has no real root"
