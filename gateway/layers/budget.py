"""Budget: how many second calls a backend bears. Plain code: no loop in this file.

A retry helps while few calls fail. When all do, it multiplies the load on a backend that has just broken down under it;
so repetitions are a share of the requests of late, and no request has a right to one.
"""

from __future__ import annotations

from collections.abc import Callable

WINDOW = 10
"""Seconds that "of late" means, the one under way included."""


class Budget:
    """``percent`` of the requests in the window may be repeated and, however few they are, ``min_per_second`` besides.

    ``clock``: seconds that never go back.
    """

    __slots__ = ("_clock", "_least", "_requests", "_second", "_share", "_taken", "noted")

    def __init__(self, percent: float, min_per_second: float, clock: Callable[[], float]) -> None:
        self._share = percent / 100
        self._least = min_per_second * WINDOW
        self._clock = clock
        self._requests = [0.0] * WINDOW
        self._taken = [0] * WINDOW
        self._second = int(clock())
        self.noted = 0
        """Requests not looked at yet. All are noted, few are repeated: so that is one addition, without the clock."""

    def __repr__(self) -> str:
        return f"<Budget taken={sum(self._taken)} of {self._allowed():g}>"

    def take(self) -> bool:
        """Whether one request may be repeated now; if so, that is noted."""
        self._advance()
        if sum(self._taken) + 1 > self._allowed():
            return False
        self._taken[self._second % WINDOW] += 1
        return True

    def _allowed(self) -> float:
        return sum(self._requests) * self._share + self._least

    def _advance(self) -> None:
        """Go on to the second that it is. What was noted meanwhile is taken to have come evenly."""
        now = int(self._clock())
        each = self.noted / (now - self._second + 1)
        self.noted = 0
        for second in range(max(self._second + 1, now - WINDOW + 1), now + 1):
            self._requests[second % WINDOW] = 0.0
            self._taken[second % WINDOW] = 0
        for second in range(max(self._second, now - WINDOW + 1), now + 1):
            self._requests[second % WINDOW] += each
        self._second = now
