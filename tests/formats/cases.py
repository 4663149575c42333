"""Requests to be merged, and what is done with them in most tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.formats.format import Format, Member
from gateway.message import Headers, Request, Response

JSON: Headers = [(b"content-type", b"application/json")]


def post(body: bytes, target: bytes = b"/v1/models/iris:predict", headers: Headers = JSON) -> Request:
    """A request as it reaches a backend."""
    return Request(b"POST", target, headers, body)


def merged(format: Format, *requests: Request) -> tuple[Request, list[Member]]:
    """One call for requests that can share it."""
    members = [format.member(request) for request in requests]
    assert len({member.key for member in members}) == 1
    return format.merge(members), members


def grouped(format: Format, requests: Sequence[Request]) -> list[list[Member]]:
    """The members of each call, in the order in which they came."""
    groups: dict[object, list[Member]] = {}
    for request in requests:
        member = format.member(request)
        groups.setdefault(member.key, []).append(member)
    return list(groups.values())


def served(
    format: Format, requests: Sequence[Request], server: Callable[[Request], Response]
) -> list[tuple[Request, Response]]:
    """Each request with its answer, by way of as few calls as can be, of two or more each."""
    answers = []
    for group in grouped(format, requests):
        members = group if len(group) > 1 else group * 2
        answer = server(format.merge(members))
        shares = format.split(answer, members)
        assert len(shares) == len(members)
        answers += [(member.request, share) for member, share in zip(members, shares, strict=True)]
    return answers
