"""One step of a node, with everything about it resolved at load time; and what all nodes have in common.

A node owns the request it is given and may set ``at`` on it; one that calls several steps at once gives each its own.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from gateway.errors import DeadlineExceeded
from gateway.message import Request, Response
from gateway.service import Service

from .document import NOT_JSON, document

Condition = Callable[[object], bool]
"""A predicate on parsed JSON; it never raises."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step: the service that it calls, and when and how."""

    node: str
    index: int
    name: str
    """For people: the step's name, else what it calls, else its index."""
    key: str
    """Its member in an Ensemble's answer: the step's name, else its index."""
    label: bytes
    """Its entry in ``x-gateway-route``: ``b"canary=iris-v2"``."""
    at: tuple[str, str]
    """Node and step, for errors."""
    service: Service
    hard: bool = False
    use_response: bool = False
    """``data: $response``."""
    condition: Condition | None = None
    skip: bool = False
    """``onUnmet: skip``."""
    map_predictions: bool = False
    timeout: float | None = None
    """Seconds; tightens the request's deadline for this step."""
    weight: int = 0
    taken: memoryview[float] | None = None
    """One cell that counts the calls; None where nobody asks how a node chose."""

    def call(self, request: Request) -> Awaitable[Response]:
        """Send ``request`` on from here, under the step's own deadline where it has one."""
        request.at = self.at
        if self.taken is not None:
            self.taken[0] += 1.0
        if self.timeout is not None:
            request = request.derive(min(request.deadline, get_running_loop().time() + self.timeout))
        return self.service(request)

    def holds(self, message: Request | Response) -> bool:
        """True when the step has no condition or ``message`` meets it; a body that is not JSON meets none."""
        if self.condition is None:
            return True
        found = document(message)
        return found is not NOT_JSON and self.condition(found)

    def in_time(self, request: Request) -> None:
        """Raise DeadlineExceeded when nobody waits for this step's answer any more."""
        if get_running_loop().time() >= request.deadline:
            raise DeadlineExceeded(f"the deadline passed before step {self.name}").at(self.at)


class Node:
    """A router of the graph: a Service made of steps."""

    __slots__ = ("node", "steps")

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = tuple(steps)
        self.node = self.steps[0].node if self.steps else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.node}: {', '.join(step.name for step in self.steps)})"
