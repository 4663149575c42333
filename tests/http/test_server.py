from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import msgspec
import pytest

from gateway.config import schema
from gateway.errors import Abandoned, GatewayError, UpstreamReset
from gateway.http.flow import LINGER
from gateway.http.halfclose import PROBE_AFTER
from gateway.http.heads import ResponseHead, response_head
from gateway.http.listener import Server
from gateway.http.server import ServerConnection
from gateway.message import Headers, Request, Response
from gateway.problem import problem
from gateway.telemetry.metrics import Registry
from tests.http.test_requests import REFUSED
from tests.support.clock import virtual
from tests.support.service import MockService, plain
from tests.support.transport import MockTransport, deliveries, settle

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\n"
BIG = b"x" * (1 << 20)
TIMEOUTS = schema.ServerTimeouts(header=10.0, body=60.0, idle=180.0)


class Edge:
    """What Recover does, as far as a connection can see: failures become answers."""

    def __init__(self, service: MockService) -> None:
        self.service = service

    async def __call__(self, request: Request) -> Response:
        try:
            return await self.service(request)
        except Abandoned:
            raise
        except GatewayError as error:
            return problem(error)


def serving(service: MockService, limits: schema.Limits | None = None) -> Server:
    server = Server(schema.Server(timeouts=TIMEOUTS, limits=limits or schema.Limits()), Registry.private())
    server.app = Edge(service)
    return server


def connect(service: MockService, *, half_closable: bool = True) -> MockTransport:
    return MockTransport(ServerConnection(serving(service)), half_closable=half_closable)


def answers(wire: bytes) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """What a client makes of ``wire``: status, headers and body of each answer."""
    found = []
    while wire:
        head, _, wire = wire.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        fields = dict(field.split(b": ", 1) for field in lines)
        assert len(fields) == len(lines), "a header came twice"
        size = int(fields.get(b"content-length", 0))
        found.append((int(line.split()[1]), fields, wire[:size]))
        wire = wire[size:]
    return found


def statuses(wire: bytes) -> list[int]:
    return [status for status, _, _ in answers(wire)]


@virtual
async def test_an_answer_is_written_anew_with_one_framing() -> None:
    client = connect(MockService().answers(b"hello", headers=[(b"x-a", b"b")]))
    await client.sends(GET)
    [(status, fields, body)] = answers(client.answers())
    assert (status, body) == (200, b"hello")
    assert fields.keys() == {b"x-a", b"content-length", b"date"}
    assert client.reading
    assert not client.is_closing()


@virtual
async def test_the_backends_own_date_is_kept() -> None:
    client = connect(MockService().answers(b"", headers=[(b"date", b"then")]))
    await client.sends(GET)
    assert answers(client.answers())[0][1][b"date"] == b"then"


REPLY = Response(201, [(b"server", b"s"), (b"x-a", b"b")], b"abc", stamp=b"x-request-id: 1\r\n")


def changed(known: ResponseHead, **changes: Any) -> Response:
    whole = msgspec.structs.replace(REPLY, headers=known.headers, encoded=known)
    return msgspec.structs.replace(whole, **changes)


@pytest.mark.parametrize("asked", [GET, GET.replace(b"1.1", b"1.0"), GET.replace(b"GET", b"HEAD")])
@pytest.mark.parametrize("draining", [False, True])
@pytest.mark.parametrize("headers", [REPLY.headers, [(b"date", b"then"), *REPLY.headers]])
@pytest.mark.parametrize(
    "changes", [{}, {"status": 404}, {"body": b"abcd"}, {"body": b""}, {"headers": [(b"x", b"y")]}, {"stamp": b""}]
)
def test_an_answer_with_a_known_head_is_written_as_any_other(
    asked: bytes, draining: bool, headers: Headers, changes: dict[str, Any]
) -> None:
    @virtual
    async def scenario() -> None:
        known = changed(response_head(201, headers, 3), **changes)
        wires = []
        for reply in (known, plain(known)):
            server = serving(MockService().does(reply))
            client = MockTransport(ServerConnection(server))
            server.draining = draining
            server.date_field = b"date: now\r\n"
            await client.sends(asked)
            await settle()
            wires.append(bytes(client.written))
        assert answers(wires[0]) == answers(wires[1])
        assert len(wires[0]) == len(wires[1])

    scenario()


@virtual
async def test_every_way_of_arriving() -> None:
    service = MockService().always(Response(200, [], b"hi"))
    wire = POST + b"Content-Length: 3\r\n\r\nabc" + GET
    for pieces in deliveries(wire):
        client = connect(service)
        await client.sends(*pieces)
        assert statuses(client.answers()) == [200, 200]
        assert service.bodies[-2:] == [b"abc", b""]


@virtual
async def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    service = MockService().answers(b"1", after=1.0).answers(b"2").answers(b"3", after=1.0)
    client = connect(service)
    await client.sends(GET + GET, GET)
    assert len(service.requests) == 1
    assert not client.reading
    await asyncio.sleep(3.0)
    assert [body for _, _, body in answers(client.answers())] == [b"1", b"2", b"3"]
    assert client.reading


@virtual
async def test_thousands_of_requests_in_one_read() -> None:
    client = connect(MockService().always(Response(200, [], b"")))
    await client.sends(GET * 5000)
    await asyncio.sleep(1.0)
    assert statuses(client.answers()) == [200] * 5000


class TestTheEndOfAConnection:
    @pytest.mark.parametrize(
        ("wire", "token"),
        [
            (GET, None),
            (b"GET /a HTTP/1.0\r\n\r\n", b"close"),
            (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"keep-alive"),
            (b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"close"),
        ],
    )
    def test_is_what_the_client_asked_for(self, wire: bytes, token: bytes | None) -> None:
        @virtual
        async def check() -> None:
            client = connect(MockService().answers(b""))
            await client.sends(wire)
            assert answers(client.answers())[0][1].get(b"connection") == token
            assert client.ended is (token == b"close")

        check()

    @virtual
    async def test_while_draining_every_answer_is_the_last(self) -> None:
        service = MockService().answers(b"", after=1.0)
        server = serving(service)
        client = MockTransport(ServerConnection(server))
        await client.sends(GET + GET)
        server.draining = True
        await asyncio.sleep(1.5)
        assert [fields[b"connection"] for _, fields, _ in answers(client.answers())] == [b"close"]
        assert len(service.requests) == 1
        # There is more in its way: a close would reset the connection and take the answer with it.
        assert client.eof_written
        assert not client.ended
        await client.hangs_up()
        assert client.ended

    @virtual
    async def test_a_request_behind_the_last_answer_is_never_begun(self) -> None:
        service = MockService().always(Response(200, [], BIG))
        server = serving(service)
        client = MockTransport(ServerConnection(server))
        client.peer_reads = False
        server.draining = True
        await client.sends(GET + GET)
        await client.takes()
        assert len(service.requests) == 1

    @virtual
    async def test_abandoned_is_a_close_without_an_answer(self) -> None:
        client = connect(MockService().fails(Abandoned()))
        await client.sends(GET)
        assert client.ended
        assert client.answers() == b""

    @virtual
    async def test_a_client_that_goes_away_cancels_its_call(self) -> None:
        service = MockService().hangs()
        client = connect(service)
        await client.sends(GET)
        await client.resets()
        assert service.cancelled == 1

    @virtual
    async def test_a_client_that_leaves_in_the_middle_of_a_request_leaves_nothing(self) -> None:
        service = MockService()
        client = connect(service)
        await client.sends(POST + b"Content-Length: 5\r\n\r\nab")
        await client.hangs_up()
        assert client.ended
        assert client.answers() == b""


class TestHead:
    @virtual
    async def test_no_body_but_the_length_that_the_backend_gave(self) -> None:
        client = connect(MockService().answers(b"", headers=[(b"content-length", b"5")]))
        await client.sends(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n")
        wire = client.answers()
        assert b"content-length: 5\r\n" in wire
        assert wire.endswith(b"\r\n\r\n")

    @virtual
    async def test_no_length_where_none_is_known(self) -> None:
        client = connect(MockService().answers(b""))
        await client.sends(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"content-length" not in client.answers()

    @virtual
    async def test_the_length_of_a_body_that_is_not_sent(self) -> None:
        client = connect(MockService().fails(UpstreamReset()))
        await client.sends(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n")
        head, _, body = client.answers().partition(b"\r\n\r\n")
        assert b"content-length: " in head
        assert body == b""

    @pytest.mark.parametrize("status", [204, 304])
    def test_nor_a_length_where_there_is_no_body(self, status: int) -> None:
        @virtual
        async def check() -> None:
            client = connect(MockService().answers(b"", status))
            await client.sends(GET)
            assert b"content-length" not in client.answers()

        check()


class TestExpect:
    HEAD = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"

    @virtual
    async def test_the_client_is_told_to_go_on(self) -> None:
        service = MockService().answers(b"")
        client = connect(service)
        await client.sends(self.HEAD)
        assert client.answers() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.sends(b"h", b"i")
        assert statuses(client.answers()) == [200]
        assert service.bodies == [b"hi"]

    @virtual
    async def test_behind_another_request_only_after_its_answer(self) -> None:
        client = connect(MockService().answers(b"1", after=1.0).answers(b"2"))
        await client.sends(GET + self.HEAD)
        assert client.answers() == b""
        await asyncio.sleep(1.5)
        wire = client.answers()
        assert statuses(wire) == [200, 100]
        await client.sends(b"hi")
        assert statuses(client.answers()) == [200]

    @pytest.mark.parametrize(
        ("wire", "status"),
        [
            (POST + b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n", 413),
            (POST + b"Expect: 200-maybe\r\nContent-Length: 2\r\n\r\n", 417),
        ],
    )
    def test_never_when_the_request_is_refused(self, wire: bytes, status: int) -> None:
        @virtual
        async def check() -> None:
            client = connect(MockService())
            await client.sends(wire)
            assert statuses(client.answers()) == [status]

        check()

    @virtual
    async def test_not_when_the_body_is_there_already(self) -> None:
        client = connect(MockService().answers(b""))
        await client.sends(self.HEAD + b"hi")
        assert statuses(client.answers()) == [200]


class TestRefusal:
    @pytest.mark.parametrize("case", REFUSED)
    def test_is_answered_and_ends_the_connection(self, case: str) -> None:
        @virtual
        async def check() -> None:
            status, wire = REFUSED[case]
            service = MockService()
            client = MockTransport(ServerConnection(serving(service, schema.Limits(max_body_bytes=1 << 20))))
            await client.sends(wire)
            [(got, fields, body)] = answers(client.answers())
            assert got == status
            assert fields[b"connection"] == b"close"
            assert fields[b"content-type"] == b"application/problem+json"
            assert body
            assert client.eof_written
            assert not service.requests

        check()

    @virtual
    async def test_comes_after_the_answers_to_earlier_requests(self) -> None:
        client = connect(MockService().answers(b"1", after=1.0).answers(b"2", after=1.0))
        await client.sends(GET + GET + b"GET /a HTTP/2.0\r\n\r\n", b"more")
        assert client.answers() == b""
        await asyncio.sleep(2.5)
        assert statuses(client.answers()) == [200, 200, 400]

    @virtual
    async def test_a_refused_client_may_go_on_sending_for_a_while(self) -> None:
        client = connect(MockService())
        await client.sends(b"GARBAGE\r\n\r\n")
        for _ in range(10):
            await client.sends(b"more" * 1000)
        assert statuses(client.answers()) == [400]
        assert not client.is_closing()
        await client.hangs_up()
        assert client.ended
        assert not client.aborted

    @virtual
    async def test_but_not_for_ever(self) -> None:
        client = connect(MockService())
        await client.sends(b"GARBAGE\r\n\r\n")
        await asyncio.sleep(LINGER + 0.2)
        assert client.aborted

    @virtual
    async def test_over_tls_it_may_go_on_sending_too(self) -> None:
        client = connect(MockService(), half_closable=False)
        await client.sends(b"GARBAGE\r\n\r\n")
        await client.sends(b"more")
        assert statuses(client.answers()) == [400]
        assert not client.is_closing()
        await asyncio.sleep(LINGER + 0.2)
        assert client.ended

    @virtual
    async def test_too_many_connections(self) -> None:
        server = serving(MockService(), schema.Limits(max_connections=1))
        MockTransport(ServerConnection(server))
        second = MockTransport(ServerConnection(server))
        [(status, fields, _)] = answers(second.answers())
        assert (status, fields[b"retry-after"]) == (503, b"1")
        await second.sends(GET)
        assert second.answers() == b""


class TestPatience:
    @pytest.mark.parametrize(
        ("wire", "limit"), [(b"GET /a HT", 10.0), (GET[:-2], 10.0), (POST + b"Content-Length: 5\r\n\r\nab", 60.0)]
    )
    def test_a_request_must_arrive_in_time(self, wire: bytes, limit: float) -> None:
        @virtual
        async def check() -> None:
            client = connect(MockService())
            await client.sends(wire)
            await asyncio.sleep(limit - 0.1)
            assert client.answers() == b""
            await asyncio.sleep(0.2)
            assert statuses(client.answers()) == [408]

        check()

    @virtual
    async def test_however_steadily_it_trickles_in(self) -> None:
        client = connect(MockService())
        for byte in b"GET /aaaaaaaaaaaa":
            await client.sends(bytes([byte]))
            await asyncio.sleep(1.0)
        assert statuses(client.answers()) == [408]

    @virtual
    async def test_idle_connections_are_closed(self) -> None:
        client = connect(MockService().answers(b""))
        await client.sends(GET)
        client.answers()
        await asyncio.sleep(179.9)
        assert not client.is_closing()
        await asyncio.sleep(0.3)
        assert client.ended
        assert client.answers() == b""

    @virtual
    async def test_an_empty_line_behind_a_request_is_not_the_begin_of_another(self) -> None:
        client = connect(MockService().answers(b""))
        await client.sends(GET)
        await client.sends(b"\r\n")
        client.answers()
        await asyncio.sleep(100.0)
        assert not client.is_closing()

    @virtual
    async def test_a_connection_that_never_says_anything(self) -> None:
        client = connect(MockService())
        await asyncio.sleep(10.2)
        assert client.ended

    @virtual
    async def test_zero_means_for_ever(self) -> None:
        timeouts = schema.ServerTimeouts(header=0.0, body=0.0, idle=0.0)
        server = Server(schema.Server(timeouts=timeouts), Registry.private())
        client = MockTransport(ServerConnection(server))
        await client.sends(b"GET")
        await asyncio.sleep(1000.0)
        assert not client.is_closing()


class TestAClientThatDoesNotRead:
    @virtual
    async def test_is_not_read_from_and_gets_no_second_answer(self) -> None:
        service = MockService().always(Response(200, [], BIG))
        client = connect(service)
        client.peer_reads = False
        await client.sends(GET, GET, GET)
        assert len(service.requests) == 1
        assert not client.reading
        await client.takes()
        assert len(service.requests) == 2
        assert client.get_write_buffer_size() < 2 * len(BIG)

    @virtual
    async def test_is_cut_off_when_it_makes_no_progress(self) -> None:
        client = connect(MockService().answers(BIG))
        client.peer_reads = False
        await client.sends(GET)
        for _ in range(5):
            await asyncio.sleep(55.0)
            await client.takes(1000)
        assert not client.aborted
        await asyncio.sleep(125.0)
        assert client.aborted

    @pytest.mark.parametrize("token", [b"close", b"keep-alive"])
    def test_cannot_keep_even_a_little_for_ever(self, token: bytes) -> None:
        @virtual
        async def check() -> None:
            client = connect(MockService().answers(b"x" * 1000))
            client.peer_reads = False
            await client.sends(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: %b\r\n\r\n" % token)
            await asyncio.sleep(400.0)
            assert client.aborted

        check()

    @virtual
    async def test_not_even_when_there_is_no_last_answer(self) -> None:
        client = connect(MockService().answers(b"x" * 1000).fails(Abandoned()))
        client.peer_reads = False
        await client.sends(GET, GET)
        await asyncio.sleep(100.0)
        assert client.aborted

    @virtual
    async def test_nor_when_it_has_hung_up_tls(self) -> None:
        service = MockService().answers(b"x" * 1000).hangs()
        client = connect(service, half_closable=False)
        client.peer_reads = False
        await client.sends(GET, GET)
        await client.hangs_up()
        assert service.cancelled == 1
        await asyncio.sleep(100.0)
        assert client.aborted

    @virtual
    async def test_can_still_take_its_last_answer_slowly(self) -> None:
        client = connect(MockService().answers(BIG))
        client.peer_reads = False
        await client.sends(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        for _ in range(100):
            await asyncio.sleep(50.0)
            await client.takes(10_000)
        await client.takes()
        assert client.eof_written
        await client.hangs_up()
        assert client.ended
        assert not client.aborted


class TestHalfClose:
    @virtual
    async def test_a_half_closed_client_still_gets_its_answers(self) -> None:
        client = connect(MockService().answers(b"1", after=0.01).answers(b"2"))
        await client.sends(GET + GET)
        await client.hangs_up()
        await asyncio.sleep(1.0)
        assert statuses(client.answers()) == [200, 200]
        assert client.ended

    @virtual
    async def test_a_slow_answer_is_preceded_by_one_interim_one(self) -> None:
        client = connect(MockService().answers(b"1", after=5.0))
        await client.sends(GET)
        await client.hangs_up()
        await asyncio.sleep(PROBE_AFTER + 0.01)
        assert statuses(client.answers()) == [100]
        await asyncio.sleep(6.0)
        assert statuses(client.answers()) == [200]
        assert client.ended

    @virtual
    async def test_http_1_0_knows_no_interim_answers(self) -> None:
        client = connect(MockService().answers(b"1", after=5.0))
        await client.sends(b"GET /a HTTP/1.0\r\n\r\n")
        await client.hangs_up()
        await asyncio.sleep(6.0)
        assert statuses(client.answers()) == [200]

    @virtual
    async def test_tls_has_no_half_close(self) -> None:
        service = MockService().hangs()
        client = connect(service, half_closable=False)
        await client.sends(GET)
        await client.hangs_up()
        assert service.cancelled == 1

    @virtual
    async def test_while_its_answer_is_on_the_way(self) -> None:
        client = connect(MockService().answers(BIG))
        client.peer_reads = False
        await client.sends(GET)
        await client.hangs_up()
        assert not client.is_closing()
        await client.takes()
        assert client.ended


@virtual
async def test_a_bug_ends_the_connection_and_is_logged() -> None:
    server = serving(MockService())

    async def broken(request: Request) -> Response:
        raise ZeroDivisionError

    server.app = broken
    client = MockTransport(ServerConnection(server))
    await client.sends(GET)
    assert client.aborted


@virtual
async def test_the_request_knows_its_peer_and_the_repr_its_state() -> None:
    service = MockService().hangs()
    client = connect(service)
    assert repr(client.protocol) == "<ServerConnection reading>"
    await client.sends(GET)
    assert service.requests[0].peer == b"192.0.2.7"
    assert service.requests[0].deadline == inf
    assert repr(client.protocol) == "<ServerConnection answering>"
    await settle()
