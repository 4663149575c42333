"""What is wrong with a configuration, and where: every finding is kept, so that all are told at once.

What could not be read is not judged any further: only causes are told.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import msgspec

Path = tuple[str | int, ...]
"""The way to a value from the top of the configuration: keys, and indices of lists."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Place(msgspec.Struct, frozen=True):
    """A position in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ConfigError(msgspec.Struct, frozen=True):
    """One finding; its text is ``file:line:column: path: message``."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: " + (f"{self.path}: " if self.path else "") + self.message
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class ConfigErrors(Exception):
    """Everything that is wrong with a configuration; its text is one line an error."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


class Report:
    """Collects findings, and knows the place of every value that was read."""

    def __init__(self, file: str = "") -> None:
        self.errors: list[ConfigError] = []
        self.warnings: list[ConfigError] = []
        self.files: list[str] = []
        """The files read, in their order."""
        self.complete = True
        """False once a file could not be read: what other files say about its names cannot be judged then."""
        self._places: dict[Path, Place] = {(): Place(file)}
        self._broken: set[Path] = set()
        self._seen: set[tuple[Place, str]] = set()

    def mark(self, path: Path, place: Place) -> None:
        """Remember where the value at ``path`` stands."""
        self._places[path] = place

    def place(self, path: Path) -> Place:
        """Where the value at ``path`` stands, or else the mapping it would stand in."""
        while path not in self._places:
            path = path[:-1]
        return self._places[path]

    def error(self, path: Path, message: str, place: Place | None = None) -> None:
        """What stands there cannot be read. One text is wrong once, however many aliases lead to it."""
        self._broken.add(path)
        self._found(path, message, place or self.place(path))

    def conflict(self, path: Path, message: str) -> None:
        """What stands there does not fit the rest, unless it could not be read in the first place."""
        if not self.broken(path):
            self._found(path, message, self.place(path))

    def _found(self, path: Path, message: str, place: Place) -> None:
        if (place, message) not in self._seen:
            self._seen.add((place, message))
            self.errors.append(finding(place, path, message))

    def warn(self, path: Path, message: str) -> None:
        """Something works, but hardly as it was meant."""
        self.warnings.append(finding(self.place(path), path, message))

    def broken(self, path: Path) -> bool:
        """True when the value could not be read, or what it stands in, or one of its own keys."""
        inside = any(path[:length] in self._broken for length in range(1, len(path) + 1))
        return inside or any(wrong[:-1] == path for wrong in self._broken if wrong)

    def sort(self) -> None:
        """Findings in the order of the files, and of their lines."""
        order = {file: index for index, file in enumerate(self.files)}
        self.errors.sort(key=lambda error: (order.get(error.file, -1), error.line, error.column))


def finding(place: Place, path: Path, message: str) -> ConfigError:
    return ConfigError(place.file, place.line, place.column, dotted(path), message)


def dotted(path: Path) -> str:
    """``graphs.iris.nodes.root.steps[0]``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def suggestion(word: str, choices: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing when no choice is near."""
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.7)
    return f"; did you mean '{folded[near[0]]}'?" if near else ""
