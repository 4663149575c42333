"""Ensemble, as KServe's router runs it."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Iterable

from gateway.errors import GatewayError
from gateway.graph.ensemble import JSON, abandon, begin
from gateway.graph.step import Node, Step
from gateway.message import Request, Response

from .errors import flattened
from .gojson import object_text, string


class KServeEnsemble(Node):
    """All steps at once: 200 with their objects under sorted names; of steps with the same name the last one's.

    An error of any step, Soft or not, ends the node at once: no answer, or one that is neither an object nor null. A
    Hard step's failure is the answer when all steps before it have answered; a Soft one's object is like any other.
    """

    __slots__ = ("_members",)

    def __init__(self, steps: Iterable[Step]) -> None:
        super().__init__(steps)
        members = {step.key: position for position, step in enumerate(self.steps)}
        self._members = [(string(key) + b":", members[key]) for key in sorted(members)]

    async def __call__(self, request: Request, /) -> Response:
        calls: list[Future[Response]] = []
        try:
            for step in self.steps:
                calls.append(begin(step, request))
            return await self._joined(request, calls)
        finally:
            abandon(calls)

    async def _joined(self, request: Request, calls: list[Future[Response]]) -> Response:
        """Take answers as they come, but Hard failures in step order."""
        answers: dict[int, Response] = {}
        turn, pending = 0, set(calls)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            answers |= {i: self._object(i, request, call) for i, call in enumerate(calls) if call in done}
            while turn in answers:
                if self.steps[turn].hard and not answers[turn].ok:
                    return answers[turn]
                turn += 1
        parts = [prefix + answers[position].body for prefix, position in self._members]
        return Response(200, list(JSON), b"{%b}" % b",".join(parts))

    def _object(self, position: int, request: Request, call: Future[Response]) -> Response:
        try:
            answer = call.result()
            return Response(answer.status, answer.headers, object_text(answer.body))
        except GatewayError as error:
            raise flattened(error, request).at(self.steps[position].at)
