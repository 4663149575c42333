"""A lane: the directory of one writer, with its segments one after the other, and what the reader remembers.

``<spool>/<sink>/<lane>/<number>.seg`` is named after the number of its first record, so that a gap tells how many are
missing. A writer holds ``lock``; the first lane that nobody holds is the next writer's. No two write to one segment.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec

from .frames import frames

SUFFIX = ".seg"


class Position(msgspec.Struct, frozen=True):
    """How far a lane has been read: the next record's number, its segment (by first number) and its frame's byte."""

    number: int = 0
    segment: int = 0
    offset: int = 0
    index: int = 0
    """Records of that frame that come before it."""


def segments(lane: Path) -> list[int]:
    """First numbers, ascending."""
    return sorted(int(name[: -len(SUFFIX)]) for name in os.listdir(lane) if name.endswith(SUFFIX))


def segment(lane: Path, first: int) -> Path:
    return lane / f"{first:016d}{SUFFIX}"


def position(lane: Path) -> Position:
    """What the reader remembered last; from the start where it has not, or where the file is not whole."""
    try:
        return msgspec.json.decode((lane / "position").read_bytes(), type=Position)
    except (FileNotFoundError, msgspec.DecodeError):
        return Position()


def remember(lane: Path, place: Position) -> None:
    """All of it or nothing, whenever the reader may die."""
    fresh = lane / "position.new"
    fresh.write_bytes(msgspec.json.encode(place))
    fresh.rename(lane / "position")


def following(lane: Path) -> int:
    """The number of the record that comes next; none that was read already, even if a power failure took it since."""
    read = position(lane).number
    known = segments(lane)
    if not known:
        return read
    with open(segment(lane, known[-1]), "rb") as file:
        return max(read, known[-1] + sum(frame.records for frame, _ in frames(file)))


def lanes(directory: Path) -> Iterator[Path]:
    """All there are."""
    for name in sorted(os.listdir(directory)):
        if name.isdigit():
            yield directory / name


def take(directory: Path) -> tuple[Path, int]:
    """The first lane that has no writer, and the descriptor that holds its lock. Raises OSError."""
    for number in count():
        lane = directory / str(number)
        lane.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (held := lock(lane / "lock")) is not None:
            return lane, held
    raise AssertionError("numbers do not end")


def lock(file: Path) -> int | None:
    """A descriptor that holds ``file`` until it is closed, at the latest by our death; None: somebody else does."""
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
