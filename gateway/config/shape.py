"""The shape of the file, read off the structs once: what a decoder, a JSON Schema and a reference all walk."""

from __future__ import annotations

from functools import cache
from typing import cast

import msgspec
from msgspec import inspect

from . import scalars


class One(msgspec.Struct, frozen=True):
    """A scalar, of the first kind in ``kinds`` that can read it."""

    kinds: tuple[scalars.Scalar, ...]

    @property
    def expects(self) -> str:
        return " or ".join(kind.expects for kind in self.kinds)


class Many(msgspec.Struct, frozen=True):
    """A list; with ``or_one`` a lone scalar stands for a list of one."""

    of: Shape
    or_one: bool = False
    expects = "a list"


class Table(msgspec.Struct, frozen=True):
    """A mapping whose keys are the user's names."""

    of: Shape
    expects = "a mapping"


class Record(msgspec.Struct, frozen=True):
    """A mapping with known keys, which becomes a ``cls``; an ``open`` one ignores all other keys."""

    cls: type[msgspec.Struct]
    keys: tuple[Key, ...]
    by_name: dict[str, Key]
    open: bool
    expects = "a mapping"


class Key(msgspec.Struct, frozen=True):
    """A key of a Record."""

    name: str
    alias: str | None
    attribute: str
    shape: Shape
    required: bool
    default: object
    description: str


class Free(msgspec.Struct, frozen=True):
    """Any JSON value: the user's data, not the gateway's."""

    expects = "any value"


Shape = Free | One | Many | Table | Record


@cache
def shape(cls: type[msgspec.Struct]) -> Record:
    """The shape of the mapping that ``cls`` stands for."""
    return _record(cast(inspect.StructType, inspect.type_info(cls)))


def _record(info: inspect.StructType) -> Record:
    keys = tuple(key for field in info.fields if (key := _key(field)) is not None)
    by_name = {key.name: key for key in keys} | {key.alias: key for key in keys if key.alias}
    return Record(info.cls, keys, by_name, not info.forbid_unknown_fields)


def _key(field: inspect.Field) -> Key | None:
    description, extra = "", dict[str, object]()
    if isinstance(field.type, inspect.Metadata):
        description = (field.type.extra_json_schema or {}).get("description", "")
        extra = field.type.extra or {}
    if extra.get("internal"):
        return None
    default = field.default_factory() if callable(field.default_factory) else field.default
    alias = cast("str | None", extra.get("alias"))
    return Key(field.encode_name, alias, field.name, _shape(field.type, extra), field.required, default, description)


def _shape(info: inspect.Type, extra: dict[str, object]) -> Shape:
    match info:
        case inspect.Metadata():
            return _shape(info.type, extra | (info.extra or {}))
        case inspect.UnionType():
            return _union([_shape(kind, extra) for kind in info.types if not isinstance(kind, inspect.NoneType)])
        case inspect.VarTupleType():
            return Many(_shape(info.item_type, {}), bool(extra.get("or_one")))
        case inspect.DictType():
            return Table(_shape(info.value_type, {}))
        case inspect.StructType():
            return _record(info)
        case inspect.AnyType():
            return Free()
    return One((_scalar(info, extra.get("scalar")),))


def _union(shapes: list[Shape]) -> Shape:
    if len(shapes) == 1:
        return shapes[0]
    return One(tuple(kind for shape in shapes if isinstance(shape, One) for kind in shape.kinds))


def _scalar(info: inspect.Type, special: object) -> scalars.Scalar:
    if special == "duration":
        return scalars.Duration()
    if special == "size":
        return scalars.Size()
    if special == "ratio":
        return scalars.Ratio()
    match info:
        case inspect.BoolType():
            return scalars.Flag()
        case inspect.IntType():
            return scalars.Whole(info.ge, info.le)
        case inspect.LiteralType():
            return scalars.Words(tuple(map(str, info.values)))
        case inspect.StrType():
            return scalars.String()
    raise TypeError(f"no scalar of the configuration is a {info}")
