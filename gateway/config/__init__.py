"""YAML text to an immutable, checked Config."""

from .load import examine, load
from .options import RunOptions
from .report import ConfigError, ConfigErrors
from .schema import Config

__all__ = ["Config", "ConfigError", "ConfigErrors", "RunOptions", "examine", "load"]
