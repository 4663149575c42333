from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from gateway.http.flow import BODY, HEAD, LINGER, Flow


class Transport(asyncio.Transport):
    """Notes what it is told."""

    def __init__(self, peer: object = ("10.0.0.1", 5), *, half_closes: bool = True) -> None:
        super().__init__({"peername": peer})
        self.said: list[str] = []
        self.unsent = 0
        self._half_closes = half_closes

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return self._half_closes

    def __getattribute__(self, name: str) -> Any:
        if name in ("pause_reading", "resume_reading", "write_eof", "close", "abort"):
            return lambda: self.said.append(name)
        return super().__getattribute__(name)


def flow(transport: Transport) -> Flow:
    """At loop time 100; a minute for a head, 10 s for a body."""
    made = Flow(cast(Any, SimpleNamespace(now=100.0, patience={HEAD: 60.0, BODY: 10.0})))
    made.connection_made(transport)
    return made


def test_a_client_has_an_address_unless_it_came_over_a_unix_socket() -> None:
    assert flow(Transport())._peer == b"10.0.0.1"
    assert flow(Transport("/run/gateway.sock"))._peer == b""


def test_the_first_head_must_come_in_time() -> None:
    assert flow(Transport()).deadline == 160.0


def test_reading_is_paused_and_resumed_once() -> None:
    one = flow(transport := Transport())
    for _ in range(2):
        one._pause()
    for _ in range(2):
        one._resume()
    assert transport.said == ["pause_reading", "resume_reading"]


def test_a_client_may_read_as_slowly_as_it_likes_but_it_must_read() -> None:
    one = flow(transport := Transport())
    transport.unsent = 500
    one._clog()
    assert one.deadline == 110.0
    one._server.now = 110.0
    transport.unsent = 499
    one._stuck(transport)
    assert (one.deadline, transport.said) == (120.0, [])
    one._stuck(transport)
    assert transport.said == ["abort"]


def test_who_has_sent_everything_is_hung_up_on_and_who_is_still_sending_is_heard_out() -> None:
    one = flow(transport := Transport())
    one._end(transport, sending=False)
    assert transport.said == ["close"]
    one = flow(transport := Transport())
    one._pause()
    one._end(transport, sending=True)
    assert transport.said == ["pause_reading", "write_eof", "resume_reading"]
    assert one.deadline == 100.0 + LINGER
    one = flow(transport := Transport(half_closes=False))
    one._end(transport, sending=True)
    assert transport.said == []


def test_what_a_finished_client_reads_late_buys_it_no_more_than_the_linger() -> None:
    one = flow(transport := Transport())
    one._clog()
    one._finished = True
    one._unclog()
    assert one.deadline == 100.0 + LINGER
    one.abort()
    assert transport.said == ["abort"]
