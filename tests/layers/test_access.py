from __future__ import annotations

import asyncio

import pytest

from gateway.errors import (
    Abandoned,
    ClientClosed,
    GatewayError,
    NoHealthyUpstream,
    PayloadTooLarge,
    UpstreamReset,
    UpstreamTimeout,
)
from gateway.http.arrival import Refusal
from gateway.http.heads import request_head
from gateway.layers.access import Access, Upstream, access, refused, route
from gateway.layers.recover import Recover
from gateway.message import Record, Request, Response
from gateway.service import Service, stack
from gateway.telemetry.lines import Entry
from gateway.telemetry.metrics import Registry, read
from tests.support.clock import virtual
from tests.support.service import MockService, ask
from tests.support.streams import MockSink, stream_of, streamed


class Noted:
    """What a log would be told."""

    def __init__(self, *, overhead: bool = False) -> None:
        self.entries: list[Entry] = []
        self.registry = Registry.private()
        self._layer = access(None if overhead else self.entries.append, self.registry, ("iris",))

    def around(self, service: Service) -> Access:
        made = self._layer(service)
        assert isinstance(made, Access)
        made._clock = asyncio.get_running_loop().time
        return made


def upstream(service: Service) -> Upstream:
    return Upstream(service, asyncio.get_running_loop().time)


@virtual
async def test_what_the_client_sent_and_got_is_noted() -> None:
    noted = Noted()

    def answered(request: Request) -> Response:
        request.target, request.headers = b"/elsewhere", []
        request.route.append(b"root=a")
        return Response(201, [], b"four")

    service = noted.around(route("iris")(MockService().does(answered, after=2.0)))
    request = ask(b"six...", [(b"a", b"b")])
    request.peer, request.minor = b"10.0.0.1", 0
    assert (await service(request)).status == 201
    (entry,) = noted.entries
    assert (entry.started, entry.seconds, entry.status, entry.received, entry.sent) == (0.0, 2.0, 201, 6, 4)
    assert (entry.method, entry.target, entry.minor) == (b"POST", b"/v1/models/iris:predict", 0)
    assert (entry.headers, entry.id, entry.peer, entry.route) == ([(b"a", b"b")], b"id-1", b"10.0.0.1", [b"root=a"])
    assert entry.record.graph == "iris"


@virtual
async def test_an_error_is_an_answer_with_its_code() -> None:
    noted = Noted()
    service = noted.around(Recover(upstream(MockService().fails(NoHealthyUpstream("none")))))
    assert (await service(ask())).status == 503
    (entry,) = noted.entries
    assert (entry.status, entry.record.failure, entry.sent > 100) == (503, "no_healthy_upstream", True)


@virtual
async def test_a_bug_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    noted = Noted()

    def bug(request: Request) -> Response:
        raise KeyError("oops")

    assert (await noted.around(Recover(MockService().does(bug)))(ask())).status == 500
    assert noted.entries[0].record.failure == "internal_error"
    assert "a bug" in caplog.text


@virtual
async def test_what_is_never_answered_is_noted_all_the_same() -> None:
    noted = Noted()
    service = noted.around(Recover(MockService().fails(Abandoned("late"))))
    with pytest.raises(Abandoned):
        await service(ask())
    gone = asyncio.create_task(noted.around(Recover(MockService().hangs()))(ask()))  # type: ignore[arg-type]
    await asyncio.sleep(1.0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    found = [(entry.status, entry.record.failure, entry.seconds, entry.sent) for entry in noted.entries]
    assert found == [(504, "abandoned", 0.0, 0), (499, "client_closed_request", 1.0, 0)]


@virtual
async def test_upstream_time_is_that_in_which_any_call_is_under_way() -> None:
    request = ask()
    record = request.record = Record()
    calls = [upstream(MockService().answers(after=seconds)) for seconds in (1.0, 3.0)]
    first = asyncio.create_task(calls[0](request))
    await asyncio.sleep(0.5)
    second = asyncio.create_task(calls[1](request))
    await asyncio.sleep(1.0)
    assert (record.calling, record.upstream) == (1, 0.0)
    await asyncio.wait([first, second])
    assert (record.attempts, record.calling, record.upstream) == (2, 0, 3.5)
    await upstream(MockService().answers(after=1.0))(request)
    assert (record.attempts, record.upstream) == (3, 4.5)


@virtual
async def test_a_call_that_fails_says_how_and_one_given_up_ends() -> None:
    request = ask()
    record = request.record = Record()
    with pytest.raises(UpstreamTimeout):
        await upstream(MockService().fails(UpstreamTimeout("late"), after=1.0))(request)
    assert (record.failure, record.calling, record.upstream) == ("upstream_timeout", 0, 1.0)
    call = asyncio.create_task(upstream(MockService().hangs())(request))
    await asyncio.sleep(1.0)
    call.cancel()
    await asyncio.wait([call])
    assert (record.failure, record.calling, record.upstream) == ("upstream_timeout", 0, 2.0)


@virtual
async def test_without_a_record_nothing_is_noted() -> None:
    service = stack(route("iris"), Upstream, service=MockService().answers().fails(UpstreamTimeout("late")))
    assert (await service(ask())).status == 200
    with pytest.raises(GatewayError):
        await service(ask())


@virtual
async def test_derived_requests_share_the_record() -> None:
    request = ask()
    request.record = Record()
    assert request.derive(1.0).record is request.record is request.carrying(Response(200, [])).record


@virtual
async def test_overhead_is_what_no_backend_took() -> None:
    noted = Noted(overhead=True)

    class Slow:
        def __init__(self, inner: Service) -> None:
            self.inner = inner

        async def __call__(self, request: Request) -> Response:
            await asyncio.sleep(0.002)
            return await self.inner(request)

    service = noted.around(stack(route("iris"), Slow, upstream, service=MockService().answers(after=5.0)))
    await service(ask())
    await noted.around(MockService().answers())(ask())  # of no graph
    ((series, cells),) = read(noted.registry.segment)
    assert (series.name, series.labels, noted.entries) == ("gateway_overhead_seconds", ("iris",), [])
    assert (sum(cells[:-1]), cells[-1]) == (1.0, pytest.approx(0.002))


@virtual
async def test_a_stream_is_noted_when_it_has_ended() -> None:
    noted = Noted()
    service = noted.around(upstream(MockService().does(streamed(), after=1.0)))
    stream = stream_of(await service(ask()))
    stream.connect(MockSink())
    stream.chunk(b"four")
    await asyncio.sleep(2.0)
    assert noted.entries == []
    stream.chunk(b"!")
    stream.end()
    (entry,) = noted.entries
    assert (entry.status, entry.sent, entry.seconds, entry.record.upstream) == (200, 5, 3.0, 3.0)
    assert entry.record.failure == ""


@virtual
async def test_a_stream_that_breaks_off_is_what_it_came_to() -> None:
    noted = Noted()
    service = noted.around(upstream(MockService().does(streamed())))
    stream_of(await service(ask())).cancel(ClientClosed("left"))
    (entry,) = noted.entries
    assert (entry.status, entry.sent, entry.record.failure) == (499, 0, "client_closed_request")


@virtual
async def test_who_was_cut_off_did_not_leave() -> None:
    noted = Noted()
    cut = asyncio.create_task(noted.around(Recover(MockService().hangs()))(ask()))  # type: ignore[arg-type]
    await asyncio.sleep(1.0)
    cut.cancel("connection_cut")
    with pytest.raises(asyncio.CancelledError):
        await cut
    assert [(entry.status, entry.record.failure) for entry in noted.entries] == [(503, "connection_cut")]


@virtual
async def test_the_headers_of_a_head_that_is_known_are_not_kept() -> None:
    noted = Noted()
    request = ask(headers=[(b"a", b"b")])
    request.encoded = request_head(request.method, request.target, request.headers, 2)
    await noted.around(MockService().answers())(request)
    assert noted.entries[0].headers == []


@virtual
async def test_how_the_last_connection_ended_is_remembered() -> None:
    abrupt = UpstreamReset("gone")
    abrupt.abrupt = True
    request = ask()
    record = request.record = Record()
    service = upstream(MockService().fails(abrupt).fails(UpstreamReset("gone")))
    for expected in (True, False):
        with pytest.raises(UpstreamReset):
            await service(request)
        assert record.reset is expected


def test_who_is_refused_before_there_is_a_request_is_noted_with_what_is_known() -> None:
    entries: list[Entry] = []
    error = PayloadTooLarge("the body exceeds 9 bytes")
    refused(entries.append, lambda: 7.0)(Refusal(error, b"10.0.0.1", b"POST", b"/a?b", 0, 55))
    (entry,) = entries
    assert (entry.started, entry.seconds, entry.status, entry.received, entry.sent) == (7.0, 0.0, 413, 0, 55)
    assert (entry.method, entry.target, entry.minor, entry.peer) == (b"POST", b"/a?b", 0, b"10.0.0.1")
    assert (entry.id, entry.route, entry.record.graph) == (b"", [], "")
    assert entry.record.failure == "payload_too_large"
