from __future__ import annotations

import pytest

from gateway.layers.forwarded import forwarded
from gateway.message import Headers
from tests.support.clock import run
from tests.support.service import MockService, ask

TRUSTED = ("127.0.0.1/32", "::1/128", "10.0.0.0/8", "fe80::/10", "192.0.2.7")


def chain(peer: bytes, *given: bytes, trusted: tuple[str, ...] = TRUSTED) -> Headers:
    """The headers that reach the backend, when ``peer`` sends these values of ``x-forwarded-for``."""
    service = MockService().answers()
    request = ask(headers=[(b"x-forwarded-for", value) for value in given])
    request.peer = peer
    run(forwarded(trusted)(service)(request))  # type: ignore[arg-type]
    return service.requests[0].headers


@pytest.mark.parametrize(
    "peer",
    [b"127.0.0.1", b"::1", b"10.1.2.3", b"fe80::1%eth0", b"192.0.2.7", b"::ffff:10.1.2.3", b"::ffff:127.0.0.1"],
)
def test_the_word_of_a_trusted_proxy_is_kept_and_its_address_appended(peer: bytes) -> None:
    assert chain(peer, b"203.0.113.9") == [(b"x-forwarded-for", b"203.0.113.9, " + peer)]


@pytest.mark.parametrize("peer", [b"203.0.113.1", b"2001:db8::1", b"::2", b"11.0.0.1", b"::ffff:11.0.0.1"])
def test_the_word_of_anybody_else_is_dropped(peer: bytes) -> None:
    assert chain(peer, b"127.0.0.1") == [(b"x-forwarded-for", peer)]


def test_several_fields_become_one_list_in_order() -> None:
    assert chain(b"10.0.0.1", b"1.1.1.1, 2.2.2.2", b"3.3.3.3") == [
        (b"x-forwarded-for", b"1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.1")
    ]


def test_a_peer_without_a_word_is_named() -> None:
    assert chain(b"10.0.0.1") == [(b"x-forwarded-for", b"10.0.0.1")]
    assert chain(b"203.0.113.1") == [(b"x-forwarded-for", b"203.0.113.1")]


def test_whoever_may_open_a_unix_socket_is_trusted_and_has_no_address() -> None:
    assert chain(b"", b"203.0.113.9", trusted=()) == [(b"x-forwarded-for", b"203.0.113.9")]
    assert chain(b"", trusted=()) == []


def test_other_headers_are_left_alone() -> None:
    service = MockService().always(None)
    service.answers().answers()
    layer = forwarded(TRUSTED)(service)
    for _ in range(2):  # the second time the peer is known
        request = ask(headers=[(b"a", b"1"), (b"x-forwarded-for", b"x"), (b"b", b"2")])
        request.peer = b"203.0.113.1"
        run(layer(request))  # type: ignore[arg-type]
        assert service.requests[-1].headers == [(b"a", b"1"), (b"b", b"2"), (b"x-forwarded-for", b"203.0.113.1")]
