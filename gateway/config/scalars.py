"""The kinds of scalar: how each is read, shown, and described to people and to JSON Schema."""

from __future__ import annotations

import re
from math import isfinite
from typing import ClassVar, Protocol

import msgspec

from .nodes import BOOL, FLOAT, INT, NULL, described_text
from .report import suggestion

LARGEST = 2**53 - 1
"""The largest whole number that every JSON tool keeps exact."""

DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
SIZE = re.compile(r"([0-9]+)(KiB|MiB|GiB)?")
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_BYTES = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Scalar(Protocol):
    """One kind of scalar."""

    @property
    def kind(self) -> str:
        """What it is called in the reference."""
        ...

    @property
    def expects(self) -> str:
        """What belongs there, for error messages."""
        ...

    @property
    def schema(self) -> dict[str, object]:
        """Its JSON Schema."""
        ...

    @property
    def blank(self) -> object:
        """Some value, to go on with where there is a wrong one."""
        ...

    def read(self, text: str, plain: bool) -> object:
        """The value of a scalar. Raises ValueError, saying what was expected instead."""
        ...

    def show(self, value: object) -> str:
        """A value as one would write it in the file."""
        ...


class String(msgspec.Struct, frozen=True):
    """Text. What YAML takes for something else must be quoted, so that no version number loses a digit."""

    kind = "text"
    expects = "text"
    schema: ClassVar[dict[str, object]] = {"type": "string"}
    blank = ""

    def read(self, text: str, plain: bool) -> str:
        if plain and any(kind.fullmatch(text) for kind in (NULL, BOOL, INT, FLOAT)):
            hint = "" if NULL.fullmatch(text) else f"; did you mean '{text}', in quotes?"
            raise ValueError(f"expected text, got {described_text(text, plain)}{hint}")
        return text

    def show(self, value: object) -> str:
        return str(value) if value else "''"


class Flag(msgspec.Struct, frozen=True):
    """A truth value."""

    kind = "`true` or `false`"
    expects = "true or false"
    schema: ClassVar[dict[str, object]] = {"type": "boolean"}
    blank = False

    def read(self, text: str, plain: bool) -> bool:
        if plain and BOOL.fullmatch(text):
            return text.lower() == "true"
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text.lower(), text.lower())
        raise ValueError(expected(self, text, plain) + suggestion(meant, ("true", "false")))

    def show(self, value: object) -> str:
        return str(value).lower()


class Whole(msgspec.Struct, frozen=True):
    """A whole number, not less than ``least``, not more than ``most``, which goes with a ``least``."""

    least: int | None = None
    most: int | None = None
    kind = "whole number"
    blank = 1

    @property
    def expects(self) -> str:
        if self.most is not None:
            return f"a whole number from {self.least} to {self.most}"
        return "a whole number" + ("" if self.least is None else f" of at least {self.least}")

    @property
    def schema(self) -> dict[str, object]:
        bounds = {"minimum": self.least, "maximum": self.most}
        return {"type": "integer"} | {name: bound for name, bound in bounds.items() if bound is not None}

    def read(self, text: str, plain: bool) -> int:
        if plain and INT.fullmatch(text):
            value = int(text, 0) if text[:2] in ("0o", "0x") else int(text[:400])
            if abs(value) > LARGEST:
                raise ValueError(f"the number {text[:40]} is too large")
            if (self.least is None or value >= self.least) and (self.most is None or value <= self.most):
                return value
        raise ValueError(expected(self, text, plain))

    def show(self, value: object) -> str:
        return str(value)


class Ratio(msgspec.Struct, frozen=True):
    """A number from 0 to 1."""

    kind = "number from 0 to 1"
    expects = "a number from 0 to 1"
    schema: ClassVar[dict[str, object]] = {"type": "number", "minimum": 0, "maximum": 1}
    blank = 1.0

    def read(self, text: str, plain: bool) -> float:
        if (
            plain
            and FLOAT.fullmatch(text)
            and 0 <= float(text.lower().replace(".nan", "nan").replace(".inf", "inf")) <= 1
        ):
            return float(text)
        raise ValueError(expected(self, text, plain))

    def show(self, value: object) -> str:
        return f"{float(str(value)):g}"


class Words(msgspec.Struct, frozen=True):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def kind(self) -> str:
        return ", ".join(f"`{word}`" for word in self.words)

    @property
    def expects(self) -> str:
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}" if self.words[1:] else self.words[0]

    @property
    def schema(self) -> dict[str, object]:
        return {"enum": list(self.words)}

    @property
    def blank(self) -> str:
        return self.words[0]

    def read(self, text: str, plain: bool) -> str:
        if text in self.words:
            return text
        raise ValueError(expected(self, text, plain) + suggestion(text, self.words))

    def show(self, value: object) -> str:
        return str(value)


class Duration(msgspec.Struct, frozen=True):
    """A Gateway API duration (GEP-2257), in seconds."""

    kind = "duration"
    expects = "a duration such as 250ms or 1m30s"
    schema: ClassVar[dict[str, object]] = {"type": "string", "pattern": f"^{DURATION.pattern}$"}
    blank = 1.0

    def read(self, text: str, plain: bool) -> float:
        if not DURATION.fullmatch(text):
            meant = f"; did you mean '{text}s'?" if DURATION.fullmatch(text + "s") else ""
            raise ValueError(expected(self, text, plain) + meant)
        parts = re.findall(r"([0-9]+)([a-z]+)", text)
        return sum(int(amount) * _MILLISECONDS[unit] for amount, unit in parts) / 1000

    def show(self, value: object) -> str:
        seconds, milliseconds = divmod(round(float(str(value)) * 1000), 1000)
        if not milliseconds and seconds < 1000:
            return f"{seconds}s"
        amounts = {"h": seconds // 3600, "m": seconds // 60 % 60, "s": seconds % 60, "ms": milliseconds}
        return "".join(f"{amount}{unit}" for unit, amount in amounts.items() if amount)


class Size(msgspec.Struct, frozen=True):
    """A number of bytes."""

    kind = "size"
    expects = "a size such as 64KiB or 16MiB, or a number of bytes"
    schema: ClassVar[dict[str, object]] = {"type": ["string", "integer"], "pattern": f"^{SIZE.pattern}$", "minimum": 0}
    blank = 1

    def read(self, text: str, plain: bool) -> int:
        found = SIZE.fullmatch(text[:400])
        if not found:
            raise ValueError(expected(self, text, plain) + self._meant(text))
        value = int(found[1]) * _BYTES[found[2]]
        if value > LARGEST:
            raise ValueError(f"the size {text[:40]} is too large")
        return value

    def _meant(self, text: str) -> str:
        found = re.fullmatch(r"([0-9]+) ?([kmg])(i?b)?", text, re.IGNORECASE)
        return f"; did you mean '{found[1]}{found[2].upper()}iB'?" if found else ""

    def show(self, value: object) -> str:
        size = int(str(value))
        for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
            if size and size % factor == 0:
                return f"{size // factor}{unit}"
        return str(size)


def as_json(text: str, plain: bool) -> object:
    """A scalar of the user's own data, by the core schema of YAML 1.2. Raises ValueError for what JSON cannot say."""
    if not plain or not any(kind.fullmatch(text) for kind in (NULL, BOOL, INT, FLOAT)):
        return text
    if NULL.fullmatch(text):
        return None
    if BOOL.fullmatch(text):
        return text.lower() == "true"
    if INT.fullmatch(text):
        return Whole().read(text, plain)
    if not isfinite(value := float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))):
        raise ValueError(f"JSON has no number {text[:40]}; did you mean '{text[:40]}', in quotes?")
    return value


def expected(scalar: Scalar, text: str, plain: bool) -> str:
    """The usual complaint."""
    return f"expected {scalar.expects}, got {described_text(text[:200], plain)}"


_QUANTILE = re.compile(r"([0-9]{1,2}(?:\.[0-9]{1,3})?)p").fullmatch


def quantile_or_duration(text: str) -> tuple[float, float]:
    """``95p`` as 0.95 and 0, ``250ms`` as 0 and 0.25. Raises ValueError for anything else, ``0p`` included."""
    found = _QUANTILE(text)
    if found and float(found[1]):
        return float(found[1]) / 100, 0.0
    try:
        return 0.0, Duration().read(text, True)
    except ValueError:
        raise ValueError(f"expected a duration such as 250ms, or a quantile such as 95p, got '{text}'") from None
