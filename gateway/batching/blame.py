"""Blame: whether the failure of a batch can be one row's fault, and how the others are saved from it. Plain code."""

from __future__ import annotations

from typing import Final, Literal, TypeVar

from gateway.message import Response

Isolation = Literal["bisect", "individual", "off"]

EVERYBODYS: Final = frozenset((401, 403, 404, 405, 407, 408, 429, 502, 503, 504))
"""Statuses that say nothing of a row: the call, the server or the way to it is at fault, and more calls do not help."""

T = TypeVar("T")


def can_be_a_row(answer: Response) -> bool:
    """Whether some of the rows may fare better without the others. Where no answer came at all, none would."""
    return answer.status >= 400 and answer.status not in EVERYBODYS


def parts(members: list[T], isolation: Isolation) -> list[list[T]]:
    """What to send in place of ``members``, which failed together: halves, or each by itself.

    Halved again and again, n members with one bad one among them cost 2 log2(n) calls more, and never more than 2n.
    """
    if isolation == "individual":
        return [[member] for member in members]
    middle = len(members) // 2
    return [members[:middle], members[middle:]]
