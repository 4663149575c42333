"""YAML text to an immutable, checked Config.

What reads files is imported on first use only: a worker, which is handed its Config, never pays for a YAML parser.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .files import examine, load
    from .options import RunOptions
    from .report import ConfigError, ConfigErrors
    from .schema import Config

__all__ = ["Config", "ConfigError", "ConfigErrors", "RunOptions", "examine", "load"]

_HOMES = {
    "Config": "schema",
    "ConfigError": "report",
    "ConfigErrors": "report",
    "RunOptions": "options",
    "examine": "files",
    "load": "files",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
