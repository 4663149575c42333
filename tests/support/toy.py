"""A protocol and a model to batch, as small as can be: a body is ``{"kind": …, "rows": […]}``, an answer a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from gateway.formats.format import Member, Mismatch, Unmergeable
from gateway.message import Headers, Request, Response


def rows(*values: Any, kind: str = "a", headers: Headers | None = None, deadline: float = inf) -> Request:
    """A request of these rows; requests of other ``kind`` do not mix with it."""
    body = json.dumps({"kind": kind, "rows": values}).encode()
    return Request(b"POST", b"/toy", list(headers or ()), body, deadline)


class Toy:
    """The format."""

    def member(self, request: Request, /) -> Member:
        try:
            body = json.loads(request.body)
        except ValueError:
            raise Unmergeable("malformed") from None
        if not body["rows"]:
            raise Unmergeable("empty")
        return Member(request, len(body["rows"]), body["kind"], body["rows"])

    def merge(self, members: Sequence[Member], /) -> Request:
        assert len({member.key for member in members}) == 1
        merged = members[0].request.derive(members[0].request.deadline)
        together = [row for member in members for row in member.parsed]
        merged.body = json.dumps({"kind": members[0].key, "rows": together}).encode()
        return merged

    def split(self, answer: Response, members: Sequence[Member], /) -> list[Response]:
        values = json.loads(answer.body)
        if not isinstance(values, list) or len(values) != sum(member.rows for member in members):
            raise Mismatch("not as many rows as were sent")
        answers = []
        for member in members:
            own, values = values[: member.rows], values[member.rows :]
            answers.append(Response(200, answer.headers, json.dumps(own).encode()))
        return answers


def negative(values: list[Any]) -> Response:
    """What the model answers: each row's negative; 400 for all if one of them is ``bad``, saying so."""
    if "bad" in values:
        return Response(400, [], json.dumps({"error": values}).encode())
    return Response(200, [], json.dumps([-value for value in values]).encode())


class Model:
    """Takes ``fixed + per_row * rows`` seconds, and does one call after the other."""

    def __init__(
        self, fixed: float = 1.0, per_row: float = 0.0, answer: Callable[[list[Any]], Response] = negative
    ) -> None:
        self.fixed = fixed
        self.per_row = per_row
        self.answer = answer
        self.calls: list[list[Any]] = []
        self.requests: list[Request] = []
        self.cancelled = 0
        self._free_at = 0.0

    @property
    def sizes(self) -> list[int]:
        return [len(values) for values in self.calls]

    async def __call__(self, request: Request, /) -> Response:
        values = json.loads(request.body)["rows"]
        self.calls.append(values)
        self.requests.append(request)
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + self.fixed + self.per_row * len(values)
        try:
            await asyncio.sleep(self._free_at - now)
        except asyncio.CancelledError:
            self.cancelled += 1
            self._free_at = asyncio.get_running_loop().time()
            raise
        return self.answer(values)
