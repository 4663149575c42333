"""Learnt: what batching has found out about a backend. It outlives a reload of the configuration.

The rule: what waits and what is under way belongs to the generation that it came to, and ends there; only what is known
is shared.
"""

from __future__ import annotations

from collections.abc import Hashable
from weakref import WeakValueDictionary

from .cost import Cost
from .kind import Kind


class Learnt:
    """Of one backend, in one worker."""

    def __init__(self) -> None:
        self.cost = Cost()
        self._kinds: WeakValueDictionary[Hashable, Kind] = WeakValueDictionary()

    def kind(self, key: Hashable) -> Kind:
        """What is known of a key; it is forgotten with the last lane that has it."""
        return self._kinds.setdefault(key, Kind())

    def close(self) -> None:
        """Nothing of it is open."""
