from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from gateway.errors import NoHealthyUpstream, Overloaded, UpstreamReset, UpstreamTimeout
from gateway.layers.observe import observe_backend, observe_graph
from gateway.layers.recover import Recover
from gateway.message import Record, Request, Response
from gateway.service import Service
from gateway.telemetry.metrics import Registry, Series, read
from tests.support.clock import virtual
from tests.support.service import MockService, ask
from tests.support.streams import MockSink, stream_of, streamed


def clock() -> Callable[[], float]:
    """The virtual one."""
    return asyncio.get_running_loop().time


class Numbers:
    """What was counted, by name and labels."""

    def __init__(self) -> None:
        self.registry = Registry.private()

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        found = read(self.registry.segment)
        return {series.labels: _number(series, cells) for series, cells in found if series.name == name}


def _number(series: Series, cells: memoryview[float]) -> float:
    return sum(cells[:-1]) if series.kind == "histogram" else cells[0]


def seconds(numbers: Numbers, name: str) -> float:
    return next(cells[-1] for series, cells in read(numbers.registry.segment) if series.name == name)


@virtual
async def test_answers_are_counted_by_status_and_outcome_and_timed() -> None:
    numbers = Numbers()
    service = MockService().answers(after=2.0).answers(after=0.5).answers(status=404).answers(status=302)
    graph = observe_graph(numbers.registry, "iris", clock())(service.answers(status=500).answers(status=404))
    for _ in range(6):
        await graph(ask())
    assert numbers.of("gateway_requests_total") == {
        ("iris", "200", "success"): 2.0,
        ("iris", "404", "client_error"): 2.0,
        ("iris", "302", "success"): 1.0,
        ("iris", "500", "upstream_error"): 1.0,
    }
    assert numbers.of("gateway_request_duration_seconds") == {("iris",): 6.0}
    assert seconds(numbers, "gateway_request_duration_seconds") == 2.5
    assert numbers.of("gateway_requests_in_flight") == {("iris",): 0.0}


@virtual
async def test_a_graph_that_nobody_asked_yet_shows_zeros() -> None:
    numbers = Numbers()
    observe_graph(numbers.registry, "iris", clock())(MockService())
    observe_backend(numbers.registry, "a", clock())(MockService())
    assert numbers.of("gateway_requests_total") == {("iris", "200", "success"): 0.0}
    assert numbers.of("gateway_upstream_requests_total") == {("a", "200"): 0.0}


@virtual
async def test_errors_are_counted_under_their_code_and_learn_their_graph() -> None:
    numbers = Numbers()
    service = MockService().fails(UpstreamTimeout("late"), after=3.0)
    with pytest.raises(UpstreamTimeout) as caught:
        await observe_graph(numbers.registry, "iris", clock())(service)(ask())
    assert caught.value.graph == "iris"
    assert numbers.of("gateway_requests_total")["iris", "504", "upstream_timeout"] == 1.0
    assert seconds(numbers, "gateway_request_duration_seconds") == 3.0
    assert numbers.of("gateway_requests_in_flight") == {("iris",): 0.0}


@virtual
async def test_an_error_raised_by_the_call_itself_is_counted_too() -> None:
    def refuses(request: Request) -> asyncio.Future[Response]:
        raise Overloaded("full")

    numbers = Numbers()
    with pytest.raises(Overloaded):
        await observe_graph(numbers.registry, "iris", clock())(refuses)(ask())
    assert numbers.of("gateway_requests_total")["iris", "503", "overload"] == 1.0
    assert numbers.of("gateway_requests_in_flight") == {("iris",): 0.0}


def test_a_bug_is_counted_as_the_500_that_it_becomes(caplog: pytest.LogCaptureFixture) -> None:
    def breaks(request: Request) -> asyncio.Future[Response]:
        raise KeyError("bug")

    @virtual
    async def scenario() -> None:
        numbers = Numbers()
        assert (await Recover(observe_graph(numbers.registry, "iris", clock())(breaks))(ask())).status == 500
        assert numbers.of("gateway_requests_total")["iris", "500", "internal_error"] == 1.0
        assert numbers.of("gateway_requests_in_flight") == {("iris",): 0.0}

    with caplog.at_level(logging.CRITICAL, "gateway"):
        scenario()


@virtual
async def test_a_client_that_went_away_is_a_499() -> None:
    numbers = Numbers()
    task = asyncio.create_task(observe_graph(numbers.registry, "iris", clock())(MockService().hangs())(ask()))
    await asyncio.sleep(4.0)
    assert numbers.of("gateway_requests_in_flight") == {("iris",): 1.0}
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert numbers.of("gateway_requests_total")["iris", "499", "client_closed_request"] == 1.0
    assert numbers.of("gateway_requests_in_flight") == {("iris",): 0.0}
    assert seconds(numbers, "gateway_request_duration_seconds") == 4.0


@virtual
async def test_around_a_backend_a_call_without_an_answer_is_counted_under_its_code() -> None:
    numbers = Numbers()
    service = MockService().answers().answers(status=503).fails(NoHealthyUpstream()).answers(status=429)
    backend = observe_backend(numbers.registry, "a", clock())(service)
    for _ in range(2):
        await backend(ask())
    with pytest.raises(NoHealthyUpstream) as caught:
        await backend(ask())
    await backend(ask())
    assert caught.value.graph == ""
    assert numbers.of("gateway_upstream_requests_total") == {
        ("a", "200"): 1.0,
        ("a", "503"): 1.0,
        ("a", "no_healthy_upstream"): 1.0,
        ("a", "429"): 1.0,
    }
    assert numbers.of("gateway_upstream_duration_seconds") == {("a",): 4.0}
    assert numbers.of("gateway_upstream_active_requests") == {("a",): 0.0}


@virtual
async def test_the_answer_itself_passes_untouched() -> None:
    service = MockService(futures=True).answers(b"[1]", 201)
    response = await observe_backend(Registry.private(), "a")(service)(ask(b"body"))
    assert (response.status, response.body, service.bodies) == (201, b"[1]", [b"body"])


@virtual
async def test_a_call_that_was_given_up_is_cancelled_whoever_gave_it_up() -> None:
    numbers = Numbers()
    call = asyncio.ensure_future(observe_backend(numbers.registry, "a", clock())(MockService().hangs())(ask()))
    await asyncio.sleep(1.0)
    call.cancel()
    await asyncio.wait([call])
    assert numbers.of("gateway_upstream_requests_total") == {("a", "200"): 0.0, ("a", "cancelled"): 1.0}
    assert numbers.of("gateway_upstream_active_requests") == {("a",): 0.0}


# Records.


def recording(service: Service) -> Service:
    return observe_backend(Registry.private(), "a", clock(), records=True)(service)


def recorded() -> tuple[Request, Record]:
    request = ask()
    record = request.record = Record()
    return request, record


@virtual
async def test_upstream_time_is_that_in_which_any_call_is_under_way() -> None:
    request, record = recorded()
    calls = [recording(MockService().answers(after=seconds)) for seconds in (1.0, 3.0)]
    first = asyncio.ensure_future(calls[0](request))
    await asyncio.sleep(0.5)
    second = asyncio.ensure_future(calls[1](request))
    await asyncio.sleep(1.0)
    assert (record.calling, record.upstream) == (1, 0.0)
    await asyncio.wait([first, second])
    assert (record.attempts, record.calling, record.upstream) == (2, 0, 3.5)
    await recording(MockService().answers(after=1.0))(request)
    assert (record.attempts, record.upstream) == (3, 4.5)


@virtual
async def test_a_call_that_fails_says_how_and_one_given_up_ends() -> None:
    request, record = recorded()
    with pytest.raises(UpstreamTimeout):
        await recording(MockService().fails(UpstreamTimeout("late"), after=1.0))(request)
    assert (record.failure, record.calling, record.upstream) == ("upstream_timeout", 0, 1.0)
    call = asyncio.ensure_future(recording(MockService().hangs())(request))
    await asyncio.sleep(1.0)
    call.cancel()
    await asyncio.wait([call])
    assert (record.failure, record.calling, record.upstream) == ("upstream_timeout", 0, 2.0)


@virtual
async def test_how_the_last_connection_ended_is_remembered() -> None:
    abrupt = UpstreamReset("gone")
    abrupt.abrupt = True
    request, record = recorded()
    service = recording(MockService().fails(abrupt).fails(UpstreamReset("gone")))
    for expected in (True, False):
        with pytest.raises(UpstreamReset):
            await service(request)
        assert record.reset is expected


@pytest.mark.parametrize("broken", [False, True])
def test_a_call_lasts_as_long_as_its_stream(broken: bool) -> None:
    @virtual
    async def scenario() -> None:
        request, record = recorded()
        stream = stream_of(await recording(MockService().does(streamed(), after=1.0))(request))
        stream.connect(MockSink())
        await asyncio.sleep(2.0)
        assert (record.calling, record.upstream) == (1, 0.0)
        if broken:
            stream.cancel(UpstreamTimeout("late"))
        else:
            stream.end()
        assert (record.calling, record.upstream) == (0, 3.0)
        assert record.failure == ("upstream_timeout" if broken else "")

    scenario()


@virtual
async def test_a_call_is_counted_the_same_with_a_record_and_without() -> None:
    counted = []
    for request in (recorded()[0], ask()):
        numbers = Numbers()
        service = MockService().answers().answers(status=503).fails(UpstreamTimeout("late"), after=1.0)
        backend = observe_backend(numbers.registry, "a", clock(), records=True)(service.does(streamed()))
        for _ in range(2):
            await backend(request)
        with pytest.raises(UpstreamTimeout):
            await backend(request)
        stream = stream_of(await backend(request))
        stream.connect(MockSink())
        stream.end()
        names = ("requests_total", "duration_seconds", "active_requests")
        counted.append([numbers.of(f"gateway_upstream_{name}") for name in names])
    assert counted[0] == counted[1]
    assert counted[0][0] == {("a", "200"): 2.0, ("a", "503"): 1.0, ("a", "upstream_timeout"): 1.0}
