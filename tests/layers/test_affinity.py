from __future__ import annotations

import gzip

import pytest

from gateway.config.backend import ConsistentHash
from gateway.layers.affinity import affinity
from gateway.message import Headers, Request
from tests.support.clock import virtual
from tests.support.service import MockService, answer, ask


async def key_of(by: ConsistentHash, request: Request) -> bytes:
    """What the backend balances by."""
    service = MockService().always(answer())
    await affinity(by)(service)(request)
    return service.requests[0].affinity


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"x-user", b"ann")], b"ann"),
        ([(b"x-user", b"ann"), (b"x-user", b"bob")], b"ann"),
        ([(b"x-user", b"")], b""),
        ([], b""),
    ],
)
@virtual
async def test_a_header(headers: Headers, key: bytes) -> None:
    assert await key_of(ConsistentHash(header="X-User"), ask(headers=headers)) == key


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"cookie", b"a=1; user=ann; b=2")], b"ann"),
        ([(b"cookie", b"a=1"), (b"cookie", b"user=ann")], b"ann"),
        ([(b"cookie", b"user=")], b""),
        ([(b"cookie", b"User=ann; superuser=bob")], b""),
        ([(b"x-user", b"ann")], b""),
    ],
)
@virtual
async def test_a_cookie(headers: Headers, key: bytes) -> None:
    assert await key_of(ConsistentHash(cookie="user"), ask(headers=headers)) == key


@pytest.mark.parametrize(
    ("expression", "body", "key"),
    [
        ("user.id", b'{"user": {"id": 7}}', b"7"),
        ("user.id", b'{"user": {"id": "7"}}', b'"7"'),
        ("[user, model]", b'{"model": "m", "user": "ann"}', b'["ann","m"]'),
        ("user", b'{"user": false}', b"false"),
        ("user", b'{"user": null}', b""),
        ("user", b'{"model": "m"}', b""),
        ("user", b"no JSON", b""),
        ("user", b"", b""),
        ("length(user)", b'{"user": 7}', b""),
        ("[&user]", b'{"user": 7}', b""),
    ],
)
@virtual
async def test_what_an_expression_finds_in_the_body(expression: str, body: bytes, key: bytes) -> None:
    assert await key_of(ConsistentHash(body=expression), ask(body)) == key


@virtual
async def test_a_body_is_read_through_its_coding_and_what_cannot_be_read_has_no_key() -> None:
    by = ConsistentHash(body="user")
    packed = gzip.compress(b'{"user": "ann"}')
    assert await key_of(by, ask(packed, [(b"content-encoding", b"gzip")])) == b'"ann"'
    assert await key_of(by, ask(packed, [(b"content-encoding", b"br")])) == b""
    assert await key_of(by, ask(packed[:10], [(b"content-encoding", b"gzip")])) == b""


@virtual
async def test_the_key_of_an_earlier_step_is_not_this_ones() -> None:
    request = ask()
    request.affinity = b"of another backend"
    assert await key_of(ConsistentHash(header="x-user"), request) == b""
