"""Kind: what is known of the requests of one key, whichever configuration they are sent under. Plain code."""

from __future__ import annotations

from math import inf

from .rhythm import Rhythm

STRIKES = 3
"""Answers that cannot be taken apart, after which nothing of their kind is merged for a while."""

WITHIN = 60.0
"""Seconds in which they come."""

REST = 300.0
"""Seconds of that while."""


class Kind:
    """Times are seconds of a clock that never goes back."""

    __slots__ = ("__weakref__", "rest_until", "rhythm", "strikes")

    def __init__(self) -> None:
        self.rhythm = Rhythm()
        self.rest_until = -inf
        """Until then nothing is merged."""
        self.strikes: tuple[float, ...] = ()
        """When the latest answers came that could not be taken apart."""

    def rest(self, until: float) -> None:
        """Merge nothing for a while."""
        self.rest_until = max(self.rest_until, until)

    def strike(self, now: float) -> bool:
        """An answer could not be taken apart. True if that was once too often, and nothing is merged from now on."""
        if now < self.rest_until:
            return False  # of a call that was under way already
        self.strikes = (*[then for then in self.strikes if then > now - WITHIN], now)
        if len(self.strikes) < STRIKES:
            return False
        self.rest(now + REST)
        return True
