from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Abandoned, ClientClosed, NoHealthyUpstream, PayloadTooLarge
from gateway.http.arrival import Refusal
from gateway.http.heads import request_head
from gateway.layers.access import Access, Overhead, route
from gateway.layers.recover import Recover
from gateway.message import Record, Request, Response
from gateway.service import Service
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual
from tests.support.service import MockService, ask
from tests.support.streams import MockSink, stream_of, streamed


class Noted:
    """What a log would be told."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._access = Access(self.records.append, asyncio.get_running_loop().time)

    def around(self, service: Service) -> Recover:
        return Recover(service, self._access)


@virtual
async def test_what_the_client_sent_and_got_is_noted() -> None:
    noted = Noted()

    def answered(request: Request) -> Response:
        request.target, request.headers = b"/elsewhere", []
        request.route.append(b"root=a")
        return Response(201, [], b"four")

    request = ask(b"six...", [(b"a", b"b")])
    request.peer, request.minor = b"10.0.0.1", 0
    assert (await noted.around(MockService().does(answered, after=2.0))(request)).status == 201
    (record,) = noted.records
    assert (record.started, record.seconds, record.status, record.received, record.sent) == (0.0, 2.0, 201, 6, 4)
    assert (record.method, record.target, record.minor) == (b"POST", b"/v1/models/iris:predict", 0)
    assert (record.headers, record.id, record.peer, record.route) == ([(b"a", b"b")], b"id-1", b"10.0.0.1", [b"root=a"])


@virtual
async def test_an_id_that_was_made_here_is_the_records() -> None:
    noted = Noted()
    request = ask()
    request.id = b""
    answer = await noted.around(MockService().answers())(request)
    assert answer.stamp == b"x-request-id: %b\r\n" % noted.records[0].id


@virtual
async def test_an_error_is_an_answer_with_its_code() -> None:
    noted = Noted()
    assert (await noted.around(MockService().fails(NoHealthyUpstream("none")))(ask())).status == 503
    (record,) = noted.records
    assert (record.status, record.failure, record.sent > 100) == (503, "no_healthy_upstream", True)


@virtual
async def test_a_bug_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    noted = Noted()

    def bug(request: Request) -> Response:
        raise KeyError("oops")

    assert (await noted.around(MockService().does(bug))(ask())).status == 500
    assert noted.records[0].failure == "internal_error"
    assert "a bug" in caplog.text


@virtual
async def test_what_is_never_answered_is_noted_all_the_same() -> None:
    noted = Noted()
    with pytest.raises(Abandoned):
        await noted.around(MockService().fails(Abandoned("late")))(ask())
    gone = asyncio.create_task(noted.around(MockService().hangs())(ask()))
    await asyncio.sleep(1.0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    found = [(record.status, record.failure, record.seconds, record.sent) for record in noted.records]
    assert found == [(504, "abandoned", 0.0, 0), (499, "client_closed_request", 1.0, 0)]


@virtual
async def test_derived_requests_share_the_record() -> None:
    request = ask()
    request.record = Record()
    assert request.derive(1.0).record is request.record is request.carrying(Response(200, [])).record


@virtual
async def test_a_stream_is_noted_when_it_has_ended() -> None:
    noted = Noted()
    stream = stream_of(await noted.around(MockService().does(streamed(), after=1.0))(ask()))
    stream.connect(MockSink())
    stream.chunk(b"four")
    await asyncio.sleep(2.0)
    assert noted.records == []
    stream.chunk(b"!")
    stream.end()
    (record,) = noted.records
    assert (record.status, record.sent, record.seconds, record.failure) == (200, 5, 3.0, "")


@virtual
async def test_a_stream_that_breaks_off_is_what_it_came_to() -> None:
    noted = Noted()
    stream = stream_of(await noted.around(MockService().does(streamed()))(ask()))
    stream.connect(MockSink())
    stream.chunk(b"four")
    stream.cancel(ClientClosed("left"))
    (record,) = noted.records
    assert (record.status, record.sent, record.failure) == (499, 4, "client_closed_request")


@virtual
async def test_who_was_cut_off_did_not_leave() -> None:
    noted = Noted()
    cut = asyncio.create_task(noted.around(MockService().hangs())(ask()))
    await asyncio.sleep(1.0)
    cut.cancel("connection_cut")
    with pytest.raises(asyncio.CancelledError):
        await cut
    assert [(record.status, record.failure) for record in noted.records] == [(503, "connection_cut")]


@virtual
async def test_the_headers_of_a_head_that_is_known_are_not_kept() -> None:
    noted = Noted()
    request = ask(headers=[(b"a", b"b")])
    request.encoded = request_head(request.method, request.target, request.headers, 2)
    await noted.around(MockService().answers())(request)
    assert noted.records[0].headers == []


@virtual
async def test_the_graph_is_that_of_the_edge() -> None:
    request = ask()
    service = route("iris")(MockService().answers().answers())
    await service(request)
    record = request.record = Record()
    await service(request)
    assert record.graph == "iris"


@pytest.mark.parametrize("logged", [False, True])
def test_overhead_is_what_no_backend_took(logged: bool) -> None:
    registry = Registry.private()
    records: list[Record] = []
    overhead = Overhead(registry, ("iris", "other"), records.append if logged else None)
    overhead(Record(graph="iris", seconds=5.002, upstream=5.0))
    overhead(Record(graph="", seconds=7.0))
    found = {series.labels: (sum(cells[:-1]), cells[-1]) for series, cells in read(registry.segment)}
    assert found == {("iris",): (1.0, pytest.approx(0.002)), ("other",): (0.0, 0.0)}
    assert len(records) == 2 * logged


def test_who_is_refused_before_there_is_a_request_is_noted_with_what_is_known() -> None:
    records: list[Record] = []
    error = PayloadTooLarge("the body exceeds 9 bytes")
    Access(records.append, lambda: 7.0).refused(Refusal(error, b"10.0.0.1", b"POST", b"/a?b", 0, 55))
    (record,) = records
    assert (record.started, record.seconds, record.status, record.received, record.sent) == (7.0, 0.0, 413, 0, 55)
    assert (record.method, record.target, record.minor, record.peer) == (b"POST", b"/a?b", 0, b"10.0.0.1")
    assert (record.id, record.route, record.graph) == (b"", [], "")
    assert record.failure == "payload_too_large"
