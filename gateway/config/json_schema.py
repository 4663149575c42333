"""The JSON Schema of the file (draft-07, the latest that editors' YAML servers read), from the structs' shape."""

from __future__ import annotations

import msgspec

from .manifest import Manifest
from .schema import Config
from .shape import Free, Key, Many, One, Record, Shape, Table, shape

SCHEMA_URL = "http://json-schema.org/draft-07/schema#"
_VARIABLE: dict[str, object] = {"type": "string", "pattern": r"\$\{"}
"""A scalar that the environment fills in."""


def json_schema() -> dict[str, object]:
    """The schema of one document of a file: a configuration, or KServe's InferenceGraph."""
    definitions: dict[str, object] = {}
    config = _record(shape(Config), definitions) | {
        "patternProperties": {"^x-": {"description": "Yours, for anchors; ignored."}}
    }
    return {
        "$schema": SCHEMA_URL,
        "title": "Inference gateway configuration",
        "if": {"type": "object", "required": ["apiVersion", "kind"]},
        "then": _record(shape(Manifest), definitions),
        "else": config,
        "definitions": definitions,
    }


def _record(record: Record, definitions: dict[str, object]) -> dict[str, object]:
    properties: dict[str, object] = {}
    for key in record.keys:
        properties[key.name] = _property(key, definitions)
        if key.alias:
            properties[key.alias] = {**_of(key.shape, definitions), "description": f"The same as `{key.name}`."}
    schema: dict[str, object] = {"type": _or_null(record), "description": _doc(record), "properties": properties}
    required = [key.name for key in record.keys if key.required]
    return schema | ({"required": required} if required else {}) | ({} if record.open else _CLOSED)


_CLOSED: dict[str, object] = {"additionalProperties": False}


def _or_null(record: Record) -> object:
    """An empty mapping may be left blank, where nothing is required in it."""
    return "object" if any(key.required for key in record.keys) else ["object", "null"]


def _doc(record: Record) -> str:
    return (record.cls.__doc__ or "").strip()


def _property(key: Key, definitions: dict[str, object]) -> dict[str, object]:
    schema = _of(key.shape, definitions)
    described: dict[str, object] = {"description": key.description}
    if isinstance(key.shape, One) and isinstance(key.default, str | int | float):
        described["default"] = _default(key.shape, key.default)
    # Draft-07 ignores whatever stands beside a $ref.
    return ({"allOf": [schema]} if "$ref" in schema else schema) | described


def _default(one: One, value: object) -> object:
    """The default as the file would have it: a duration is text there, though a number here."""
    if isinstance(value, bool | str) or one.kinds[0].schema["type"] == "integer":
        return value
    return one.kinds[0].show(value)


def _of(kind: Shape, definitions: dict[str, object]) -> dict[str, object]:
    match kind:
        case Free():
            return {}
        case One():
            schemas = [scalar.schema for scalar in kind.kinds]
            return schemas[0] if schemas == [{"type": "string"}] else {"anyOf": [*schemas, _VARIABLE]}
        case Many():
            item = _of(kind.of, definitions)
            many: dict[str, object] = {"type": "array", "items": item}
            return {"anyOf": [item, many]} if kind.or_one else many
        case Table():
            return {"type": ["object", "null"], "additionalProperties": _of(kind.of, definitions)}
        case Record():
            return _reference(kind, definitions)


def _reference(record: Record, definitions: dict[str, object]) -> dict[str, object]:
    name = record.cls.__name__
    if name not in definitions:
        definitions[name] = None
        definitions[name] = _record(record, definitions)
    return {"$ref": f"#/definitions/{name}"}


def json_schema_text() -> str:
    """The schema as a file."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"
