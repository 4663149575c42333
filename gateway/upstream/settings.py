"""Settings: what a reload may change of a Cluster."""

from __future__ import annotations

from typing import Final

import msgspec

from .adaptive import Adaptive
from .endpoint import Watch
from .pick import Picker

HELD: Final = 1000
"""Requests that may wait for the first endpoint to come up."""

PLACES: Final = 100
"""What an adaptive limit without a bound counts for where the length of the queue depends on it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers are this worker's part of what is configured; times are in seconds."""

    picker: Picker
    watches: tuple[Watch, ...] = ()
    limit: int = 0
    """Calls at once for each endpoint; 0: any."""
    adaptive: Adaptive | None = None
    """Finds the limit, in place of ``limit``; it need not be among the ``watches``."""
    queue: int = 0
    """Requests that may wait; 0: ten for each place, at least 100."""
    queue_timeout: float = 0.0
    """For room at an endpoint; 0: until the request's deadline."""
    hold: float = 0.0
    """For an endpoint to come up; 0: do not wait."""
    max_requests: int = 0
    """Calls under way and requests that wait, of all endpoints together; 0: any number."""
    panic_threshold: int = 50
    """Percent."""
    checked: bool = False
    """Whether health checks keep ``Endpoint.healthy`` up to date."""

    def room(self, endpoints: int) -> int:
        """How many requests may wait for so many endpoints."""
        room = HELD if self.hold else 0
        if self.limit or self.adaptive:
            room = max(room, 10 * (self.limit or PLACES) * endpoints, 100)
        return (self.queue or room) if room else 0
