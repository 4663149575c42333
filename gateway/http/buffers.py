"""Buffers: how many bytes of bodies a worker holds, and how many it may. No asyncio in this file.

The rule: a body is counted from its first large piece on until nobody can read it any more, for its Claim goes where
the message goes, and ends with it. Small bodies are never counted and so never refused: there is always room for them.
"""

from __future__ import annotations

from math import inf

UNCOUNTED = 64 << 10
"""Bytes of a body that cost nobody a thought: about what one read from a socket brings."""


class Buffers:
    """Room for bodies, in bytes; ``refused`` counts the bodies that found none."""

    __slots__ = ("limit", "refused", "used")

    def __init__(self, limit: float = inf) -> None:
        self.limit = limit
        self.used = 0
        self.refused = 0

    def __repr__(self) -> str:
        return f"<Buffers {self.used} of {self.limit}>"

    def fits(self, size: int) -> bool:
        """Whether a body announced with ``size`` bytes has room just now, which is not kept free for it."""
        return size <= UNCOUNTED or self.have(size)

    def have(self, size: int) -> bool:
        """Whether there is room for so many bytes more."""
        if self.used + size <= self.limit:
            return True
        self.refused += 1
        return False


class Claim:
    """The bytes of one body. They are free again when nobody has the claim any more."""

    __slots__ = ("_buffers", "_size")

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers
        self._size = 0

    def __repr__(self) -> str:
        return f"<Claim {self._size}>"

    def __del__(self) -> None:
        self._buffers.used -= self._size

    def grow(self, size: int) -> bool:
        """The body has become ``size`` bytes; False: there is no room for that."""
        more = size - self._size
        if not self._buffers.have(more):
            return False
        self._buffers.used += more
        self._size = size
        return True
