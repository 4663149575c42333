"""A streamed answer all the way, from the bytes of a backend to those of a client."""

from __future__ import annotations

import asyncio
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import schema
from gateway.errors import ClientClosed, GatewayError, UpstreamProtocolError, UpstreamReset, UpstreamTimeout
from gateway.http.halfclose import PROBE_AFTER
from gateway.http.listener import Server
from gateway.http.responses import STREAM_FROM
from gateway.http.server import ServerConnection
from gateway.message import Request, Response
from gateway.problem import problem
from gateway.telemetry.metrics import Registry
from tests.http.test_client import MockPool
from tests.support.clock import run, virtual
from tests.support.loopback import unchunked
from tests.support.transport import MockTransport, deliveries, settle

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = CHUNKED.replace(b"text/event-stream", b"application/json")
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
LAST = b"0\r\n\r\n"
BODY_PATIENCE = 60.0


def sized(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Way:
    """A client, the gateway, and a backend whose answers may stream."""

    def __init__(self, asks: bytes = GET, *, streams: bool = True, max_body: int = 1 << 20) -> None:
        self.pool = MockPool(max_body=max_body)
        self.server = Server(
            schema.Server(timeouts=schema.ServerTimeouts(body=BODY_PATIENCE, idle=180.0)), Registry.private()
        )
        self.server.app = self._app
        self.client = MockTransport(ServerConnection(self.server))
        self.ended: list[GatewayError | None] = []
        """How each stream ended."""
        self._asks = asks
        self._streams = streams

    async def _app(self, request: Request) -> Response:
        request.streams = self._streams
        try:
            response = await self.pool(request)
        except GatewayError as error:
            return problem(error)
        if response.stream is not None:
            response.stream.when_ended(self.ended.append)
        return response

    async def asked(self) -> Way:
        await self.client.sends(self._asks)
        return self

    @property
    def backend(self) -> MockTransport:
        return self.pool.transports[-1]

    def heard(self) -> tuple[bytes, bytes]:
        """Head, in lower case, and what has come of the body since the last time."""
        head, _, body = self.client.answers().partition(b"\r\n\r\n")
        return head.lower(), body


class TestWhatStreams:
    @virtual
    async def test_the_head_of_an_event_stream_goes_out_at_once(self) -> None:
        way = await Way().asked()
        await way.backend.sends(CHUNKED)
        head, body = way.heard()
        assert head.startswith(b"http/1.1 200 ok\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n")
        assert body == b""
        await way.backend.sends(chunk(b"data: 1\n\n"))
        assert way.client.answers() == chunk(b"data: 1\n\n")

    @virtual
    async def test_to_its_end_and_both_connections_are_good_for_the_next(self) -> None:
        way = await Way().asked()
        for _ in range(2):
            await way.backend.sends(PLAIN, chunk(b"[1,"), chunk(b"2]"), LAST)
            assert way.heard()[1] == chunk(b"[1,") + chunk(b"2]") + LAST
            await way.client.sends(GET)
        assert way.ended == [None, None]
        assert len(way.pool.transports) == 1

    @virtual
    async def test_what_one_read_brings_goes_out_in_one_chunk_and_the_first_with_the_head(self) -> None:
        way = await Way().asked()
        await way.backend.sends(PLAIN + chunk(b"a") + chunk(b"b"))
        assert way.heard()[1] == chunk(b"ab")
        await way.backend.sends(chunk(b"c") + chunk(b"d") + LAST)
        assert way.client.answers() == chunk(b"cd") + LAST

    @pytest.mark.parametrize(
        "answer",
        [
            PLAIN + chunk(b"[1]") + LAST,
            CHUNKED + chunk(b"[1]") + LAST,
            sized(3) + b"[1]",
            b"HTTP/1.1 204 No\r\n\r\n",
            b"HTTP/1.1 304 No\r\nContent-Length: 999999999\r\n\r\n",
        ],
    )
    def test_nothing_that_is_whole_at_once(self, answer: bytes) -> None:
        @virtual
        async def check() -> None:
            way = await Way().asked()
            await way.backend.sends(answer)
            assert way.client.answers()
            assert way.ended == []

        check()

    @virtual
    async def test_no_answer_of_a_moderate_length(self) -> None:
        way = await Way().asked()
        await way.backend.sends(sized(STREAM_FROM), b"x" * (STREAM_FROM - 1))
        assert way.client.answers() == b""
        await way.backend.sends(b"x")
        assert way.heard()[1] == b"x" * STREAM_FROM
        assert way.ended == []

    @virtual
    async def test_a_long_answer_with_the_length_that_it_has_whatever_the_limit(self) -> None:
        size = STREAM_FROM + 1
        way = await Way(max_body=10).asked()
        await way.backend.sends(sized(size), b"x" * 5, b"x" * (size - 5))
        head, body = way.heard()
        assert b"\r\ncontent-length: %d\r\n" % size in head
        assert body == b"x" * size
        assert way.ended == [None]

    @virtual
    async def test_nothing_where_the_call_may_not(self) -> None:
        way = await Way(streams=False).asked()
        await way.backend.sends(CHUNKED, chunk(b"a"))
        assert way.client.answers() == b""
        await way.backend.sends(LAST)
        assert way.heard()[1] == b"a"

    @virtual
    async def test_a_body_that_lasts_until_the_end_of_the_connection(self) -> None:
        way = await Way().asked()
        await way.backend.sends(UNTIL_CLOSE, b"a")
        await way.backend.hangs_up()
        assert way.heard()[1] == chunk(b"a") + LAST
        assert way.ended == [None]
        assert way.client.reading

    @virtual
    async def test_pipelined_requests_wait_for_its_end(self) -> None:
        way = await Way(GET + GET).asked()
        await way.backend.sends(CHUNKED, chunk(b"a"))
        assert way.client.answers().count(b"HTTP/1.1") == 1
        await way.backend.sends(LAST)
        await way.backend.sends(sized(1) + b"b")
        assert way.heard()[0].startswith(b"0")
        assert way.ended == [None]


@pytest.mark.parametrize("answer", [CHUNKED + chunk(b"ab") + chunk(b"c") + LAST, sized(3) + b"abc"])
def test_however_it_arrives(answer: bytes) -> None:
    @virtual
    async def check() -> None:
        way = Way()
        for pieces in deliveries(answer):
            await way.client.sends(GET)
            await way.backend.sends(*pieces)
            head, body = way.heard()
            assert (unchunked(body) if b"chunked" in head else body) == b"abc"
        assert len(way.pool.transports) == 1
        assert set(way.ended) <= {None}

    check()


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.lists(st.integers(1, 60), max_size=12),
    st.lists(st.booleans(), max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_chunks_the_reads_and_the_pauses_the_same_bytes_come_out(
    chunks: list[bytes], cuts: list[int], pauses: list[bool]
) -> None:
    async def check() -> None:
        way = await Way().asked()
        wire = CHUNKED + b"".join(map(chunk, chunks)) + LAST
        for cut, pause in zip(cuts, [*pauses, *[False] * len(cuts)], strict=False):
            if pause and way.ended == []:
                way.client.protocol.pause_writing()
                way.client.protocol.resume_writing()
            await way.backend.sends(wire[:cut])
            wire = wire[cut:]
        if wire:
            await way.backend.sends(wire)
        head, body = way.heard()
        assert (unchunked(body) if b"chunked" in head else body) == b"".join(chunks)

    run(check())


class TestOtherClients:
    @virtual
    async def test_of_http_1_0_are_told_the_end_by_the_end(self) -> None:
        way = await Way(OLD).asked()
        await way.backend.sends(CHUNKED, chunk(b"a"), chunk(b"b"), LAST)
        head, body = way.heard()
        assert b"\r\nconnection: close" in head
        assert b"transfer-encoding" not in head
        assert body == b"ab"
        assert way.client.is_closing()
        assert not way.client.aborted

    @virtual
    async def test_of_http_1_0_do_not_take_the_breaking_off_for_the_end(self) -> None:
        way = await Way(OLD).asked()
        await way.backend.sends(CHUNKED, chunk(b"a"))
        await way.backend.resets()
        assert way.client.aborted

    @virtual
    async def test_of_http_1_0_keep_their_connection_where_the_length_is_known(self) -> None:
        way = await Way(OLD).asked()
        await way.backend.sends(sized(STREAM_FROM + 1), b"x" * (STREAM_FROM + 1))
        assert b"\r\nconnection: keep-alive" in way.heard()[0]
        assert not way.client.is_closing()

    @virtual
    async def test_who_want_the_head_only_get_no_more_whatever_method_the_backend_was_called_with(self) -> None:
        way = Way(HEAD)
        service = way._app

        async def post(request: Request) -> Response:
            request.method = b"POST"
            return await service(request)

        way.server.app = post
        await way.asked()
        await way.backend.sends(CHUNKED)
        head, body = way.heard()
        assert b"\r\ntransfer-encoding: chunked" in head
        assert body == b""
        assert way.backend.aborted
        assert way.ended == [None]
        await way.client.sends(GET)
        await way.backend.sends(sized(1) + b"a")
        assert way.heard()[1] == b"a"


class TestBackPressure:
    @virtual
    async def test_a_client_that_does_not_read_stops_the_backend_and_one_that_reads_on_lets_it_go_on(self) -> None:
        way = await Way().asked()
        way.client.peer_reads = False
        await way.backend.sends(CHUNKED, *[chunk(b"x" * 50_000)] * 4)
        assert not way.backend.reading
        assert len(way.client.written) < 150_000
        assert way.client.reading, "its going away would not be noticed"
        way.client.peer_reads = True
        await way.client.takes()
        await way.backend.sends(LAST)
        assert unchunked(way.heard()[1]) == b"x" * 200_000

    @virtual
    async def test_a_client_that_never_reads_is_cut_off_and_the_backend_with_it(self) -> None:
        way = await Way().asked()
        way.client.peer_reads = False
        await way.backend.sends(CHUNKED, chunk(b"x" * 100_000))
        await asyncio.sleep(BODY_PATIENCE - 1)
        assert not way.client.aborted
        await asyncio.sleep(2)
        assert way.client.aborted
        assert way.backend.aborted
        assert isinstance(way.ended[0], ClientClosed)

    @virtual
    async def test_one_that_reads_slowly_is_not(self) -> None:
        way = await Way().asked()
        way.client.peer_reads = False
        await way.backend.sends(CHUNKED, chunk(b"x" * 100_000))
        for _ in range(5):
            await asyncio.sleep(BODY_PATIENCE - 1)
            await way.client.takes(10_000)
        assert not way.client.aborted

    @virtual
    async def test_nothing_is_read_before_somebody_takes_it(self) -> None:
        pool = MockPool()
        call = await pool.call(Request(b"GET", b"/", [], streams=True))
        await pool.transports[0].sends(CHUNKED, chunk(b"a"))
        assert (await call).stream is not None
        assert not pool.transports[0].reading

    @virtual
    async def test_what_ends_while_the_client_does_not_read_is_followed_by_its_next_request_when_it_does(self) -> None:
        way = await Way().asked()
        way.client.peer_reads = False
        await way.backend.sends(CHUNKED, chunk(b"x" * 100_000) + LAST)
        assert way.ended == [None]
        await way.client.sends(GET)
        assert not way.client.reading
        way.client.peer_reads = True
        way.client.answers()
        await way.client.takes()
        await way.backend.sends(sized(1) + b"a")
        assert way.heard()[1] == b"a"


class TestTheClientGoes:
    @virtual
    async def test_and_the_backend_is_left_at_once(self) -> None:
        way = await Way().asked()
        await way.backend.sends(CHUNKED, chunk(b"a"))
        await way.client.resets()
        assert way.backend.aborted
        assert isinstance(way.ended[0], ClientClosed)
        assert not way.pool.busy

    @virtual
    async def test_in_good_order(self) -> None:
        way = await Way().asked()
        await way.backend.sends(CHUNKED, chunk(b"a"))
        await way.client.hangs_up()
        assert way.backend.aborted
        assert isinstance(way.ended[0], ClientClosed)

    @virtual
    async def test_not_if_it_shut_down_its_side_before_the_answer_began(self) -> None:
        way = await Way().asked()
        await way.client.hangs_up()
        await way.backend.sends(CHUNKED, chunk(b"a"))
        await asyncio.sleep(3 * PROBE_AFTER)
        await way.backend.sends(chunk(b"b"), LAST)
        assert way.heard()[1] == chunk(b"a") + chunk(b"b") + LAST
        assert way.client.is_closing()
        assert way.ended == [None]

    @virtual
    async def test_in_the_moment_in_which_the_head_comes(self) -> None:
        way = await Way().asked()
        way.backend.protocol.data_received(CHUNKED)
        way.client.abort()
        await settle()
        assert way.backend.aborted
        assert not way.pool.busy

    @virtual
    async def test_while_the_first_connection_brings_the_head(self) -> None:
        pool = MockPool()
        call = await pool.call(Request(b"GET", b"/", [], streams=True))
        pool.transports[0].protocol.data_received(CHUNKED)
        call.cancel()
        await settle()
        assert call.cancelled()
        assert pool.transports[0].aborted
        assert not pool.busy

    @virtual
    async def test_before_the_head_of_an_answer_that_nobody_waits_for(self) -> None:
        pool = MockPool()
        backend = await pool.warm()
        call = await pool.call(Request(b"GET", b"/", [], streams=True))
        call.cancel()
        await backend.sends(CHUNKED)
        assert backend.aborted
        assert not pool.busy


class TestItBreaksOff:
    @virtual
    async def test_what_has_come_arrives_and_then_the_connection_closes_without_a_last_chunk(self) -> None:
        way = await Way().asked()
        await way.backend.sends(CHUNKED, chunk(b"a"))
        await way.backend.resets()
        assert way.heard()[1] == chunk(b"a")
        assert way.client.is_closing()
        assert not way.client.aborted
        assert isinstance(way.ended[0], UpstreamReset)

    @virtual
    async def test_before_anybody_has_taken_the_first_piece(self) -> None:
        way = await Way().asked()
        way.backend.protocol.data_received(CHUNKED + chunk(b"a"))
        await way.backend.resets()
        assert way.heard()[1] == chunk(b"a")
        assert way.client.is_closing()
        assert isinstance(way.ended[0], UpstreamReset)

    @virtual
    async def test_short_of_its_length(self) -> None:
        way = await Way().asked()
        await way.backend.sends(sized(STREAM_FROM + 1), b"abc")
        await way.backend.hangs_up()
        assert way.heard()[1] == b"abc"
        assert way.client.is_closing()
        assert isinstance(way.ended[0], UpstreamReset)

    @virtual
    async def test_beyond_its_length_it_is_whole_and_the_backend_is_not_called_on_that_connection_again(self) -> None:
        way = await Way().asked()
        await way.backend.sends(sized(STREAM_FROM + 1), b"x" * (STREAM_FROM + 1) + b"HTTP/1.1 200 OK\r\n")
        assert way.heard()[1] == b"x" * (STREAM_FROM + 1)
        assert way.ended == [None]
        assert way.backend.aborted
        assert not way.client.is_closing()

    @virtual
    async def test_in_nonsense(self) -> None:
        way = await Way().asked()
        await way.backend.sends(CHUNKED, chunk(b"a"), b"nonsense")
        assert way.heard()[1] == chunk(b"a")
        assert way.client.is_closing()
        assert way.backend.aborted
        assert isinstance(way.ended[0], UpstreamProtocolError)

    @virtual
    async def test_when_a_drain_ends_it(self) -> None:
        way = await Way().asked()
        await way.backend.sends(CHUNKED, chunk(b"a"))
        assert not await way.server.drain(1.0)
        await settle()
        assert way.backend.aborted

    @virtual
    async def test_not_while_a_drain_waits_for_it(self) -> None:
        way = await Way().asked()
        await way.backend.sends(CHUNKED, chunk(b"a"))
        drained = asyncio.ensure_future(way.server.drain(10.0))
        await asyncio.sleep(5)
        await way.backend.sends(LAST)
        assert await drained
        assert way.heard()[1] == chunk(b"a") + LAST


class TestTimeouts:
    async def begun(self, silence: float = 5.0, deadline: float = 2.0) -> tuple[Way, MockTransport]:
        way = Way()
        way.pool.silence = silence
        service = way._app

        async def hurried(request: Request) -> Response:
            request.deadline = asyncio.get_running_loop().time() + deadline
            return await service(request)

        way.server.app = hurried
        await way.asked()
        return way, way.backend

    @virtual
    async def test_silence_for_too_long_ends_it(self) -> None:
        way, backend = await self.begun()
        await backend.sends(CHUNKED)
        for _ in range(3):
            await asyncio.sleep(4.5)  # the deadline was the head's
            await backend.sends(chunk(b"a"))
        await asyncio.sleep(4.5)
        assert way.ended == []
        await asyncio.sleep(0.6)
        assert isinstance(way.ended[0], UpstreamTimeout)
        assert backend.aborted
        assert way.client.is_closing()

    @virtual
    async def test_without_a_limit_it_may_be_silent_for_ever(self) -> None:
        way, backend = await self.begun(silence=inf)
        await backend.sends(CHUNKED)
        await asyncio.sleep(100_000)
        await backend.sends(LAST)
        assert way.ended == [None]

    @virtual
    async def test_a_client_that_does_not_read_is_not_the_backends_silence(self) -> None:
        way, backend = await self.begun()
        way.client.peer_reads = False
        await backend.sends(CHUNKED, chunk(b"x" * 100_000))
        await asyncio.sleep(20)
        assert way.ended == []
        way.client.peer_reads = True
        await way.client.takes()
        await asyncio.sleep(4.5)
        assert way.ended == []
        await asyncio.sleep(0.6)
        assert isinstance(way.ended[0], UpstreamTimeout)

    @virtual
    async def test_one_that_nobody_takes_ends_with_its_deadline(self) -> None:
        pool = MockPool()
        pool.silence = 5.0
        for deadline, patience in ((2.0, 2.0), (inf, 5.0)):
            now = asyncio.get_running_loop().time()
            call = await pool.call(Request(b"GET", b"/", [], deadline=now + deadline, streams=True))
            await pool.transports[-1].sends(CHUNKED)
            await asyncio.sleep(patience - 0.1)
            assert not pool.transports[-1].aborted
            await asyncio.sleep(0.2)
            assert pool.transports[-1].aborted
            assert (await call).stream is not None

    @virtual
    async def test_the_head_must_come_in_time(self) -> None:
        pool = MockPool()
        pool.first_byte = 1.0
        call = await pool.call()
        await pool.transports[0].sends(b"HTTP/1.1 200 OK\r\n")
        await asyncio.sleep(1.1)
        with pytest.raises(UpstreamTimeout):
            await call

    @virtual
    async def test_what_follows_the_head_has_the_time_of_the_whole(self) -> None:
        pool = MockPool()
        pool.first_byte = 1.0
        call = await pool.call(Request(b"GET", b"/", [], deadline=5.0))
        await pool.transports[0].sends(sized(3))
        await asyncio.sleep(4)
        await pool.transports[0].sends(b"abc")
        assert (await call).body == b"abc"
        call = await pool.call(Request(b"GET", b"/", [], deadline=asyncio.get_running_loop().time() + 5.0))
        await pool.transports[0].sends(sized(3))
        await asyncio.sleep(5.1)
        with pytest.raises(UpstreamTimeout):
            await call

    @virtual
    async def test_a_deadline_that_comes_first_wins(self) -> None:
        pool = MockPool()
        pool.first_byte = 3.0
        call = await pool.call(Request(b"GET", b"/", [], deadline=1.0))
        await asyncio.sleep(1.1)
        with pytest.raises(UpstreamTimeout):
            await call
