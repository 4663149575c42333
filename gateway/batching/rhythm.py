"""Rhythm: whether requests come by themselves or in answer to answers, which decides if waiting for more pays.

Clients that each wait for their answer before they ask again come back together when a batch is done; to send the first
of them at once would leave the others to wait for a whole call. Requests that come at random gain nothing from waiting.
Plain code with the clock handed in.
"""

from __future__ import annotations

from math import ceil, inf

ALONE = 1.5
"""Rows outstanding, on average, up to which there is nobody to wait for."""

RANDOM = 1.7
"""How many times more requests than at random must come right after a batch to be called a burst."""

SHARE = 0.25
"""What is waited at most, as a part of the fixed cost of a call; and how long "right after" is."""

_OF_ROWS, _OF_GAPS, _OF_BURSTS = 0.02, 0.05, 0.1
"""Weights of the newest sample in the moving averages."""

_MOST = 10.0
"""The most that one burst counts."""

_PAUSE = 1.0
"""Seconds; a longer gap tells nothing more of the traffic."""


class Rhythm:
    """Of the requests of one key. Times are seconds of a clock that never goes back."""

    __slots__ = ("_came", "_gap", "_gaps", "_last", "_since", "_until", "bursts", "rows")

    def __init__(self) -> None:
        self.rows = 1.0
        """Rows outstanding when one arrives, itself included: moving average."""
        self.bursts = 1.0
        """Requests that come right after a batch, as a multiple of those at random: moving average."""
        self._gap = 0.0
        self._gaps = 0
        self._last: float | None = None
        self._came = 0
        self._since = self._until = -inf

    def __repr__(self) -> str:
        return f"<Rhythm rows={self.rows:.3g} bursts={self.bursts:.3g}>"

    def arrived(self, now: float, outstanding: int) -> None:
        """A request came; ``outstanding``: rows that wait or are under way, its own included."""
        if self._last is not None:
            self._gaps += 1
            self._gap += max(_OF_GAPS, 1 / self._gaps) * (min(now - self._last, _PAUSE) - self._gap)
        self._last = now
        self.rows += _OF_ROWS * (outstanding - self.rows)
        if now <= self._until:
            self._came += 1

    def finished(self, now: float, fixed: float) -> None:
        """A batch is done; ``fixed``: the seconds that any call takes."""
        length = self._until - self._since
        if length > 0:
            self.bursts += _OF_BURSTS * (min(self._came * self._gap / length, _MOST) - self.bursts)
        self._came, self._since, self._until = 0, now, now + SHARE * fixed

    def linger(self, rows: int, most: int, fixed: float) -> float:
        """Seconds to wait for more than ``rows``, of which a batch takes ``most``."""
        if self.rows <= ALONE or self.bursts <= RANDOM or rows >= min(most, ceil(self.rows - 0.5)):
            return 0.0
        return SHARE * fixed
