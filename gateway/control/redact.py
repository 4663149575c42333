"""The configuration as it may be shown: without the values of headers and without passwords in URLs."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.config.schema import Config, HeaderRules, Sink

REDACTED = "[redacted]"

_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):[^/?#@]*@")


def redacted(config: Config) -> Any:
    """``config`` as plain data with the keys of the file; durations in seconds, sizes in bytes, defaults left out."""
    return msgspec.to_builtins(_shown(config))


def _shown(value: Any) -> Any:
    """``value``, whatever part of a Config it is, without its secrets; what has none is not copied.

    A default must stay the very object that it is, or it would be taken for a choice and written out.
    """
    copy = _copy(value)
    return value if copy == value else copy


def _copy(value: Any) -> Any:
    match value:
        case Sink() if value.headers:
            return _copy_fields(msgspec.structs.replace(value, headers=dict.fromkeys(value.headers, REDACTED)))
        case HeaderRules():
            return msgspec.structs.replace(value, set=dict.fromkeys(value.set, REDACTED))
        case msgspec.Struct():
            return _copy_fields(value)
        case dict():
            return {key: _shown(item) for key, item in value.items()}
        case tuple():
            return tuple(_shown(item) for item in value)
        case str():
            return _PASSWORD.sub(rf"\1:{REDACTED}@", value)
    return value


def _copy_fields(value: msgspec.Struct) -> msgspec.Struct:
    return msgspec.structs.replace(value, **{field: _shown(getattr(value, field)) for field in value.__struct_fields__})
