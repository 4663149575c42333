"""Cost: what a call of so many rows takes, learned from the calls made. Plain code: no loop and no clock here."""

from __future__ import annotations

from math import inf

ENOUGH = 8
"""Calls below which no line is drawn through them."""

_KEEP = 0.97
"""Weight of what was known against the next call: about the last hundred count."""

_FORGIVE = 1.01
"""How fast the shortest call is forgotten, for a backend that has become slower."""


class Cost:
    """Seconds of a call as ``fixed + per_row * rows``: weighted least squares over the calls of late."""

    __slots__ = ("_calls", "_least", "_n", "_x", "_xx", "_xy", "_y", "fixed", "per_row")

    def __init__(self) -> None:
        self.fixed = 0.0
        """Seconds that a call takes however few rows it has; 0 while no call has been seen."""
        self.per_row = 0.0
        """Seconds for each row; 0 while only one size has been seen."""
        self._calls = 0
        self._least = inf
        self._n = self._x = self._y = self._xx = self._xy = 0.0

    def __repr__(self) -> str:
        return f"<Cost {self.fixed * 1000:.3g} ms + {self.per_row * 1000:.3g} ms * rows>"

    def of(self, rows: int) -> float:
        """Seconds that a call of ``rows`` is expected to take; 0.0: nobody knows yet."""
        return self.fixed + self.per_row * rows

    def observe(self, rows: int, seconds: float) -> None:
        """A call of ``rows`` has taken ``seconds``, and did not fail: to fail fast is not to be fast."""
        self._calls += 1
        self._least = min(seconds, self._least * _FORGIVE)
        self._n = self._n * _KEEP + 1.0
        self._x = self._x * _KEEP + rows
        self._y = self._y * _KEEP + seconds
        self._xx = self._xx * _KEEP + rows * rows
        self._xy = self._xy * _KEEP + rows * seconds
        self._fit()

    def _fit(self) -> None:
        spread = self._n * self._xx - self._x * self._x
        if self._calls < ENOUGH or spread <= 1e-6 * self._xx * self._n:  # too few, or all of one size
            self.fixed, self.per_row = self._least, 0.0
            return
        slope = (self._n * self._xy - self._x * self._y) / spread
        # Neither part of a cost is negative; where noise says so the other one explains everything.
        self.per_row = min(max(slope, 0.0), self._y / self._x)
        self.fixed = max((self._y - self.per_row * self._x) / self._n, 0.0)
