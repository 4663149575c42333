"""Requests of many kinds, drawn at random: rows and columns of v1, tensors of v2 as JSON (flat, nested) and binary."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from math import prod
from random import Random
from struct import pack
from typing import Any, Literal, NamedTuple

from tests.formats.servers import Number, dumps
from tests.support.loopback import Fields
from tests.support.mirror import BAD_NUMBER, BAD_TEXT, LENGTH

SIZES = {"BOOL": 1, "UINT8": 1, "INT16": 2, "FP16": 2, "BF16": 2, "FP32": 4, "INT64": 8, "FP64": 8}
SHAPES = ((), (1,), (3,), (2, 2), (7,), (1, 1, 2), (0,))
NUMBERS = ("9007199254740993{}", "-{}", "{}e400", "0.10000000000000000555{}", "{}E+2", "-0.{}")
LETTERS = 'aé"\\,[]{}\n\0🦙'

Form = Literal["nested", "flat", "binary"]
Layout = Literal["instances", "named instances", "inputs", "named inputs", "tensors"]


class Column(NamedTuple):
    """One input: of v1 only its form is always nested, and its type is that of JSON."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """Of a row."""
    form: Form = "nested"

    def scalars(self, dice: Random, rows: int, bad: bool) -> list[Any]:
        """The elements of so many rows, one of them bad if that can be."""
        found = [self._scalar(dice) for _ in range(rows * prod(self.shape))]
        if bad and found and self.datatype == "BYTES":
            found[dice.randrange(len(found))] = BAD_TEXT.encode() if self.form == "binary" else BAD_TEXT
        elif bad and found and self.datatype != "BOOL" and self.form != "binary":
            found[dice.randrange(len(found))] = BAD_NUMBER
        return found

    def _scalar(self, dice: Random) -> Any:
        if self.form == "binary":
            return dice.randbytes(dice.randrange(6) if self.datatype == "BYTES" else SIZES[self.datatype])
        if self.datatype == "BYTES":
            return "".join(dice.choices(LETTERS, k=dice.randrange(6)))
        if self.datatype == "BOOL":
            return dice.random() < 0.5
        return Number(dice.choice(NUMBERS).format(dice.randint(1, 1 << 40)))

    def rows(self, dice: Random, rows: int, bad: bool) -> list[Any]:
        """Arrays in arrays."""
        found: list[Any] = _folded(iter(self.scalars(dice, rows, bad)), (rows, *self.shape))
        return found

    def tensor(self, dice: Random, rows: int, bad: bool) -> tuple[dict[str, Any], bytes]:
        """As v2 has it, and its binary data."""
        head = {"name": self.name, "shape": [rows, *self.shape], "datatype": self.datatype}
        if self.form == "nested":
            return head | {"data": self.rows(dice, rows, bad)}, b""
        scalars = self.scalars(dice, rows, bad)
        if self.form == "flat":
            return head | {"data": scalars}, b""
        prefixed = (pack("<I", len(one)) + one for one in scalars) if self.datatype == "BYTES" else scalars
        blob = b"".join(prefixed)
        return head | {"parameters": {"binary_data_size": len(blob)}}, blob


class Kind(NamedTuple):
    """Requests that may share a call where their callers may."""

    layout: Layout
    columns: tuple[Column, ...]
    said: dict[str, Any]
    """What stands beside the rows."""
    zipped: bool = False

    def request(self, dice: Random, rows: int, bad: bool = False) -> tuple[Fields, bytes]:
        """Headers and body of one; ``bad``: a row of it spoils the call, if this kind has a way to."""
        headers, body = self._plain(dice, rows, bad)
        return ([*headers, ("content-encoding", "gzip")], gzip.compress(body)) if self.zipped else (headers, body)

    def _plain(self, dice: Random, rows: int, bad: bool) -> tuple[Fields, bytes]:
        if self.layout == "tensors":
            return self._tensors(dice, rows, bad)
        columns = {column.name: column.rows(dice, rows, bad) for column in self.columns}
        value: Any = columns if self.layout == "named inputs" else columns[self.columns[0].name]
        if self.layout == "named instances":
            value = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return [("content-type", "application/json")], dumps({**self.said, self.layout.split()[-1]: value})

    def _tensors(self, dice: Random, rows: int, bad: bool) -> tuple[Fields, bytes]:
        tensors = [column.tensor(dice, rows, bad) for column in self.columns]
        own = {"id": dice.choice("abc")} if dice.random() < 0.5 else {}
        json = dumps({**own, **self.said, "inputs": [head for head, _ in tensors]})
        if not any(column.form == "binary" for column in self.columns):
            return [("content-type", "application/json")], json
        headers = [("content-type", "application/octet-stream"), (LENGTH, str(len(json)))]
        return headers, json + b"".join(blob for _, blob in tensors)


def kind(dice: Random) -> Kind:
    """One of all that there are, more or less."""
    zipped = dice.random() < 0.1
    if dice.random() < 0.5:
        said = dice.choice(({}, {}, {"parameters": {"temperature": 0.5}}))
        return Kind("tensors", _columns(dice, ("nested", "flat", "binary"), dice.randint(1, 3)), said, zipped)
    layout: Layout = dice.choice(("instances", "named instances", "inputs", "named inputs"))
    count = dice.randint(1, 3) if layout.startswith("named") else 1
    return Kind(layout, _columns(dice, ("nested",), count), dice.choice(({}, {"signature_name": "s"})), zipped)


def _columns(dice: Random, forms: Sequence[Form], count: int) -> tuple[Column, ...]:
    datatypes = (*SIZES, "BYTES", "BYTES")
    return tuple(
        Column(name, dice.choice(datatypes), dice.choice(SHAPES), dice.choice(forms)) for name in "xyz"[:count]
    )


def _folded(scalars: Iterator[Any], shape: tuple[int, ...]) -> Any:
    return [_folded(scalars, shape[1:]) for _ in range(shape[0])] if shape else next(scalars)
