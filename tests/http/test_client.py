from __future__ import annotations

import asyncio
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import DeadlineExceeded, UpstreamProtocolError, UpstreamReset, UpstreamTimeout
from gateway.http.client import ClientConnection
from gateway.http.origin import Origin
from gateway.http.pool import Pool, Sweeper
from gateway.message import Request, Response
from gateway.telemetry.metrics import Registry
from tests.support.clock import run, virtual
from tests.support.service import ask
from tests.support.transport import MockTransport, deliveries, settle

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class MockPool(Pool):
    """A Pool whose connections lead to mock transports, the newest last."""

    def __init__(self, *, max_body: int = 1 << 20) -> None:
        self.sweeper = Sweeper(asyncio.get_running_loop())
        super().__init__(Origin("a", 80), self.sweeper, Registry.private(), "backend", max_body=max_body)
        self.transports: list[MockTransport] = []
        self.dialling = 0.0
        self.peers_read = True

    async def _dial(self) -> ClientConnection:
        await asyncio.sleep(self.dialling)
        connection = ClientConnection(self)
        self.transports.append(MockTransport(connection))
        self.transports[-1].peer_reads = self.peers_read
        return connection

    async def call(self, request: Request | None = None) -> asyncio.Future[Response]:
        """A call that is on its way."""
        call = asyncio.ensure_future(self(request or ask()))
        call.add_done_callback(lambda done: done.cancelled() or done.exception())
        await settle()
        return call

    async def warm(self) -> MockTransport:
        """A connection that has carried a call and is idle now."""
        call = await self.call()
        await self.transports[-1].sends(EMPTY)
        assert (await call).status == 200
        self.transports[-1].answers()
        assert len(self.idle) == 1
        return self.transports[-1]


class TestTheRequest:
    @pytest.mark.parametrize(
        ("request_", "wire"),
        [
            (
                Request(b"POST", b"/p", [(b"content-type", b"x")], b"hi"),
                b"POST /p HTTP/1.1\r\nhost: a\r\ncontent-type: x\r\ncontent-length: 2\r\n\r\nhi",
            ),
            (Request(b"POST", b"/p", []), b"POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
            (Request(b"GET", b"/p?q", []), b"GET /p?q HTTP/1.1\r\nhost: a\r\n\r\n"),
            (Request(b"GET", b"/p", [], b"hi"), b"GET /p HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"),
            (
                Request(b"PUT", b"/p", [], b"x" * 100_000),
                b"PUT /p HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000,
            ),
        ],
    )
    def test_is_written_anew_with_one_framing(self, request_: Request, wire: bytes) -> None:
        @virtual
        async def check() -> None:
            pool = MockPool()
            await pool.call(request_)
            assert pool.transports[0].answers() == wire

        check()


class TestTheAnswer:
    @virtual
    async def test_however_it_arrives(self) -> None:
        pool = MockPool()
        for pieces in deliveries(b"HTTP/1.1 201 C\r\nX: y\r\nContent-Length: 2\r\n\r\nhi"):
            call = await pool.call()
            await pool.transports[-1].sends(*pieces)
            assert await call == Response(201, [(b"x", b"y")], b"hi")
        assert len(pool.transports) == 1

    @virtual
    async def test_that_is_none_ends_the_connection(self) -> None:
        pool = MockPool()
        call = await pool.call()
        await pool.transports[0].sends(b"nonsense")
        with pytest.raises(UpstreamProtocolError):
            await call
        assert pool.transports[0].aborted
        assert not pool.idle
        assert not pool.busy

    @pytest.mark.parametrize("extra", [b"x", EMPTY, b"HTTP/1.1 500 Oops\r\n"])
    def test_with_garbage_behind_it_is_delivered_on_a_connection_that_is_not_used_again(self, extra: bytes) -> None:
        @virtual
        async def check() -> None:
            pool = MockPool()
            call = await pool.call()
            await pool.transports[0].sends(EMPTY + extra)
            assert (await call).status == 200
            assert pool.transports[0].aborted
            await pool.call()
            assert len(pool.transports) == 2

        check()

    @virtual
    async def test_that_nobody_asked_for_ends_the_connection(self) -> None:
        pool = MockPool()
        idle = await pool.warm()
        await idle.sends(EMPTY)
        assert idle.aborted
        assert not pool.idle

    @pytest.mark.parametrize("token", [b"Connection: close", b"Content-Length: 0, 0"])
    def test_that_ends_the_connection(self, token: bytes) -> None:
        @virtual
        async def check() -> None:
            pool = MockPool()
            await pool.call()
            await pool.transports[0].sends(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 0\r\n\r\n" % token)
            assert pool.transports[0].aborted
            assert not pool.idle

        check()

    @virtual
    async def test_that_comes_before_the_request_was_sent_ends_the_connection(self) -> None:
        pool = MockPool()
        pool.peers_read = False
        call = await pool.call(ask(b"x" * 1_000_000))
        transport = pool.transports[0]
        await transport.sends(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        assert (await call).status == 413
        assert transport.aborted

    @virtual
    async def test_until_close(self) -> None:
        pool = MockPool()
        call = await pool.call()
        await pool.transports[0].sends(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
        assert not call.done()
        await pool.transports[0].hangs_up()
        assert (await call).body == b"hello"
        assert not pool.idle

    @pytest.mark.parametrize(
        "cut", [b"HTTP", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", b"HTTP/1.1 100 Continue\r\n\r\n"]
    )
    @pytest.mark.parametrize("reset", [True, False])
    def test_that_is_cut_off_is_never_whole(self, cut: bytes, reset: bool) -> None:
        @virtual
        async def check() -> None:
            pool = MockPool()
            await pool.warm()
            call = await pool.call()
            await pool.transports[0].sends(cut)
            await (pool.transports[0].resets() if reset else pool.transports[0].hangs_up())
            with pytest.raises(UpstreamReset):
                await call
            assert len(pool.transports) == 1  # something was seen: sending it again might do it twice

        check()

    @virtual
    async def test_until_close_and_then_reset_is_cut_off(self) -> None:
        pool = MockPool()
        call = await pool.call()
        await pool.transports[0].sends(b"HTTP/1.1 200 OK\r\n\r\nhel")
        await pool.transports[0].resets()
        with pytest.raises(UpstreamReset):
            await call

    @virtual
    async def test_until_close_and_then_nothing_but_the_end_of_the_socket_is_cut_off(self) -> None:
        # TLS without close_notify looks like this.
        pool = MockPool()
        call = await pool.call()
        await pool.transports[0].sends(b"HTTP/1.1 200 OK\r\n\r\nhel")
        pool.transports[0].close()
        with pytest.raises(UpstreamReset):
            await call


class TestAStaleConnection:
    @pytest.mark.parametrize("reset", [True, False])
    def test_is_replaced_once(self, reset: bool) -> None:
        @virtual
        async def check() -> None:
            pool = MockPool()
            stale = await pool.warm()
            call = await pool.call(ask(b"again"))
            await (stale.resets() if reset else stale.hangs_up())
            fresh = pool.transports[1]
            assert fresh.answers() == stale.answers()
            await fresh.sends(EMPTY)
            assert (await call).status == 200

        check()

    @virtual
    async def test_and_no_more_than_once(self) -> None:
        pool = MockPool()
        stale = await pool.warm()
        call = await pool.call()
        await stale.hangs_up()
        await pool.transports[1].hangs_up()
        with pytest.raises(UpstreamReset):
            await call
        assert len(pool.transports) == 2

    @virtual
    async def test_but_a_fresh_one_that_fails_is_not(self) -> None:
        pool = MockPool()
        call = await pool.call()
        await pool.transports[0].hangs_up()
        with pytest.raises(UpstreamReset):
            await call
        assert len(pool.transports) == 1

    @virtual
    async def test_even_if_it_has_not_carried_anything_yet(self) -> None:
        pool = MockPool()
        assert await pool.reachable()
        call = await pool.call()
        await pool.transports[0].hangs_up()
        await pool.transports[1].sends(EMPTY)
        assert (await call).status == 200

    @virtual
    async def test_is_not_replaced_for_a_caller_that_has_gone(self) -> None:
        pool = MockPool()
        stale = await pool.warm()
        call = await pool.call()
        call.cancel()
        await stale.hangs_up()
        assert len(pool.transports) == 1

    @virtual
    async def test_and_the_deadline_still_holds(self) -> None:
        pool = MockPool()
        stale = await pool.warm()
        call = await pool.call(ask(deadline=1.0))
        pool.dialling = 5.0
        await stale.hangs_up()
        await asyncio.sleep(1.1)
        with pytest.raises(UpstreamTimeout):
            await call

    @virtual
    async def test_that_closed_while_idle_is_not_used(self) -> None:
        pool = MockPool()
        await (await pool.warm()).hangs_up()
        await pool.call()
        assert len(pool.transports) == 2


class TestDeadlines:
    @pytest.mark.parametrize("dialling", [0.0, 0.5])
    def test_a_backend_that_does_not_answer(self, dialling: float) -> None:
        @virtual
        async def check() -> None:
            pool = MockPool()
            pool.dialling = dialling
            call = await pool.call(ask(deadline=1.0))
            await asyncio.sleep(0.99)
            assert not call.done()
            await asyncio.sleep(0.03)
            assert call.done()
            with pytest.raises(UpstreamTimeout):
                await call
            assert pool.transports[0].aborted

        check()

    @virtual
    async def test_a_backend_that_trickles(self) -> None:
        pool = MockPool()
        call = await pool.call(ask(deadline=1.0))
        await pool.transports[0].sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(102):
            await pool.transports[0].sends(b"x")
            await asyncio.sleep(0.01)
        with pytest.raises(UpstreamTimeout):
            await call
        assert pool.transports[0].aborted

    @virtual
    async def test_one_that_has_passed_before_the_call(self) -> None:
        pool = MockPool()
        await asyncio.sleep(1.0)
        with pytest.raises(DeadlineExceeded):
            await pool(ask(deadline=0.5))

    @virtual
    async def test_a_caller_that_has_gone_takes_the_connection_along(self) -> None:
        pool = MockPool()
        call = await pool.call()
        call.cancel()
        await asyncio.sleep(0.03)
        assert pool.transports[0].aborted
        assert not pool.busy

    @virtual
    async def test_unless_the_answer_comes_first(self) -> None:
        pool = MockPool()
        call = await pool.call()
        call.cancel()
        await settle()
        await pool.transports[0].sends(EMPTY)
        assert len(pool.idle) == 1


@virtual
async def test_repr_tells_the_state() -> None:
    pool = MockPool()
    call = await pool.call()
    connection = pool.transports[0].protocol
    assert repr(connection) == "<ClientConnection http://a busy>"
    await pool.transports[0].sends(EMPTY)
    assert repr(connection) == "<ClientConnection http://a idle>"
    await pool.transports[0].hangs_up()
    assert repr(connection) == "<ClientConnection http://a closed>"
    assert repr(pool) == "<Pool http://a busy=0 idle=0>"
    assert call.done()


EVENTS = st.lists(
    st.tuples(st.sampled_from(["call", "answer", "part", "garbage", "close", "cancel", "wait"]), st.integers(0, 3)),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_no_answer_ever_reaches_another_request(events: list[tuple[str, int]]) -> None:
    """Backends answer each request with its own number, in whatever pieces; whatever happens in between."""

    async def scenario() -> None:
        pool = MockPool()
        calls: dict[int, asyncio.Future[Response]] = {}
        seen: dict[MockTransport, bytes] = {}
        owed: dict[MockTransport, bytes] = {}
        for event, which in events:
            for transport in pool.transports:
                seen[transport] = seen.get(transport, b"") + transport.answers()
                if b"number=" in seen[transport]:
                    number = seen[transport].rpartition(b"number=")[2]
                    owed[transport] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(number), number)
                    seen[transport] = b""
            live = [transport for transport in pool.transports if not transport.is_closing()]
            if event == "call":
                number = len(calls)
                calls[number] = await pool.call(ask(b"number=%d" % number, deadline=inf))
            elif event == "wait":
                await asyncio.sleep(0.02)
            elif event == "cancel" and calls:
                calls[which % len(calls)].cancel()
            elif live:
                transport = live[which % len(live)]
                wire = owed.get(transport, b"")
                if event == "answer":
                    await transport.sends(wire or b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
                    owed[transport] = b""
                elif event == "part" and len(wire) > 1:
                    await transport.sends(wire[:1])
                    owed[transport] = wire[1:]
                elif event == "garbage":
                    await transport.sends(wire + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
                    owed[transport] = b""
                elif event == "close":
                    await transport.hangs_up()
        for number, call in calls.items():
            if call.done() and not call.cancelled() and call.exception() is None:
                assert call.result().body == b"%d" % number

    run(scenario())
